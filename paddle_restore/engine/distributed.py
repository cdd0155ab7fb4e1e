"""Several processes that train together: collective operations, and what happens when one of them dies."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn, Optional, TypeVar, Union

import paddle
import paddle.distributed as dist

from paddle_restore.devices import on_gpu
from paddle_restore.engine.signals import Stopped, joined
from paddle_restore.errors import UserError
from paddle_restore.weights import tensors_of

T = TypeVar("T")

# ---- collective operations


def init() -> tuple[int, int]:
    """Join the job that `paddle.distributed.launch` started; return rank and number of processes.

    Raises UserError where the processes of this machine would share a GPU.
    """
    world = dist.get_world_size()
    if world > 1 and not dist.is_initialized():
        if on_gpu():
            _check_gpus()
        else:
            # Else a build for GPUs takes one, whatever device was chosen.
            os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
        dist.init_parallel_env()
    joined()
    return dist.get_rank(), world


def _check_gpus() -> None:
    processes = int(os.environ.get("PADDLE_LOCAL_SIZE", 1))
    gpus = paddle.device.cuda.device_count()
    if processes > gpus:
        raise UserError(
            f"{processes} processes on a machine with {gpus} GPU(s), and each needs its own; "
            f"start {gpus} (--nproc_per_node {gpus}), or use --device cpu"
        )


def average_gradients(parameters: list[paddle.Tensor], world: int) -> None:
    """Replace every gradient by its mean over the processes, in one message.

    Not paddle.DataParallel: its hooks only cover `model.forward`, and an objective may call the network
    in other ways (InvDN runs it in both directions).
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world == 1 or not gradients:
        return
    joint = paddle.concat([gradient.flatten().astype("float32") for gradient in gradients])
    dist.all_reduce(joint)
    joint /= world
    parts = paddle.split(joint, [gradient.size for gradient in gradients])
    for gradient, part in zip(gradients, parts):
        # Not set_value, which copies through the host in Paddle 2.6.
        gradient.copy_(part.reshape(gradient.shape).astype(gradient.dtype), False)


def means(values: Sequence[Union[float, paddle.Tensor]], world: int) -> list[float]:
    """Return the mean of each number, or tensor of one number, over the processes, by one message."""
    numbers = [paddle.to_tensor(float(v)) if isinstance(v, (bool, float)) else v for v in values]
    joint = paddle.stack([number.astype("float32").reshape([]) for number in numbers])
    if world > 1:
        dist.all_reduce(joint)
        joint = joint / world
    return joint.tolist()


def broadcast_parameters(model: paddle.nn.Layer, world: int) -> None:
    """Give every process the weights and buffers of rank 0."""
    if world > 1:
        for tensor in tensors_of(model).values():
            dist.broadcast(tensor, src=0)


def joint_batch(part: paddle.Tensor, world: int) -> paddle.Tensor:
    """Return the (N, ...) tensors of all processes, of one shape, in order of rank as (world * N, ...)."""
    if world == 1:
        return part
    parts: list[paddle.Tensor] = []
    dist.all_gather(parts, part)
    return paddle.concat(parts)


def gather(items: list[T], world: int) -> list[T]:
    """Return the lists of all processes, joined in order of rank."""
    if world == 1:
        return items
    gathered: list[list[T]] = []
    dist.all_gather_object(gathered, items)
    return [item for part in gathered for item in part]


# ---- a process that dies ends all
#
# Otherwise the others wait until the backend's time-out, which can be half an hour, or end with an error
# of the backend that does not tell the cause. The launcher ends the processes of its own machine when one
# has failed, but not those of other machines.

GRACE = 4.0
"""Seconds from another process's failure to this one's exit: the launcher shows the first that exited."""

_MAX_MESSAGE = 100_000
_MAX_TEXT = 10_000


@contextmanager
def watch_processes(rank: int, world: int) -> Iterator[None]:
    """Inside the block, end this process when another one of the job dies or fails.

    This process then prints which one it was and its error, and exits with the same code (1 where it was
    killed). The error that the backend raises because the other process is gone is not shown.
    """
    if world == 1:
        yield
        return
    watch = ProcessWatch(rank, world)
    try:
        yield
    except (Stopped, SystemExit):
        watch.announce(0, "")
        raise
    except UserError as error:
        watch.announce(2, f"error: {error}")
        raise
    except KeyboardInterrupt:
        watch.announce(130, "interrupted")
        raise
    except BaseException:
        if watch.failed.wait(GRACE):
            watch.wait_for_exit()
        watch.announce(1, traceback.format_exc())
        raise
    watch.announce(0, "")


class ProcessWatch:
    """A TCP connection between rank 0 and each other process; the system closes it when one of the two dies.

    Before a process ends it sends one line of JSON: {"code": exit code, "text": error, "process": rank}.
    Rank 0 forwards a line that tells of a failure to all others.
    """

    def __init__(self, rank: int, world: int):
        self.rank, self.failed, self.code = rank, threading.Event(), 1
        folder, number = os.environ.get("PADDLE_LOG_DIR", "log"), os.environ.get("PADDLE_LOCAL_RANK", rank)
        log = os.path.join(folder, f"workerlog.{number}")
        self.logs = gather([f"{log} on {socket.gethostname()}"], world)
        if rank == 0:
            server, address, password = _listen()
            gather([(address, password)], world)
            self.connections = _accept(server, password, world)
        else:
            address, password = gather([], world)[0]
            self.connections = {0: _connect(address, password, rank)}
        for other, connection in self.connections.items():
            threading.Thread(target=self._watch, args=(other, connection), daemon=True).start()

    def announce(self, code: int, text: str, process: Optional[int] = None) -> None:
        """Tell the others the exit code and error of this process, or of `process`."""
        process = self.rank if process is None else process
        line = json.dumps({"code": code, "text": text[-_MAX_TEXT:], "process": process}) + "\n"
        for connection in self.connections.values():
            with suppress(OSError):
                connection.sendall(line.encode())

    def wait_for_exit(self) -> NoReturn:
        """Wait until the watching thread, which knows the cause, or the launcher ends this process."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: os._exit(self.code))
        while True:
            time.sleep(60)

    def _watch(self, other: int, connection: socket.socket) -> None:
        code, text = 1, "it was killed, or its machine has gone"
        with suppress(OSError, ValueError):
            message = json.loads(connection.makefile(encoding="utf-8").readline(_MAX_MESSAGE))
            code, text, other = message["code"], message["text"], message["process"]
        if code == 0 or self.failed.is_set():
            return
        self.code = code
        self.failed.set()
        if self.rank == 0:
            self.announce(code, text, other)
        time.sleep(GRACE)  # this process may fail by itself meanwhile, for the same reason
        print(
            f"process {other} of this job has failed (its log: {self.logs[other]}):\n{text}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(code)


def _listen() -> tuple[socket.socket, tuple[str, int], str]:
    """Open a port for the other processes; return it with its address and a password."""
    host = os.environ.get("PADDLE_CURRENT_ENDPOINT", "127.0.0.1:0").rsplit(":", 1)[0]
    server = socket.create_server((host, 0))
    return server, (host, server.getsockname()[1]), secrets.token_hex(16)


def _accept(server: socket.socket, password: str, world: int) -> dict[int, socket.socket]:
    """Return the connections of all other processes, by rank."""
    connections: dict[int, socket.socket] = {}
    server.settimeout(60)
    with server:
        while len(connections) < world - 1:
            connection, _ = server.accept()
            connection.settimeout(10)
            with suppress(OSError, ValueError):
                given, _, rank = _receive(connection, len(password) + 9).partition(" ")
                if secrets.compare_digest(given, password):
                    connections[int(rank)] = _keep_alive(connection)
    return connections


def _connect(address: tuple[str, int], password: str, rank: int) -> socket.socket:
    connection = socket.create_connection(address, timeout=60)
    connection.sendall(f"{password} {rank:8d}".encode())
    return _keep_alive(connection)


def _receive(connection: socket.socket, size: int) -> str:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise OSError("closed")
        received += part
    return received.decode("ascii")


def _keep_alive(connection: socket.socket) -> socket.socket:
    """Let reads wait without a limit, but fail within 35 s after the other machine has gone."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
