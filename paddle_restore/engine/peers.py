"""All processes of a job, or none: each learns within seconds that another one has failed, and why.

Without it a process waits for a dead one as long as the backend's time-out is, half an hour for some,
or ends with the backend's error, in which nothing is said of the cause. The launcher ends its own
machine's processes when one has failed, but not those of other machines.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, Optional

from paddle_restore.engine import distributed
from paddle_restore.engine.signals import Stopped
from paddle_restore.errors import UserError

GRACE = 4.0
"""Seconds between another process's failure and this one's end: the launcher shows the first that ended."""

_LONGEST = 100_000


@contextmanager
def watched(rank: int, world: int) -> Iterator[None]:
    """Within it, this process ends when another one of the job does so without having come to its end.

    It then says which, and with what error, and takes over its exit code (1 where it was killed).
    What the backend raises because the other one has gone is not shown.
    """
    if world == 1:
        yield
        return
    peers = Peers(rank, world)
    try:
        yield
    except (Stopped, SystemExit):
        peers.say(0, "")
        raise
    except UserError as error:
        peers.say(2, f"error: {error}")
        raise
    except KeyboardInterrupt:
        peers.say(130, "interrupted")
        raise
    except BaseException:
        if peers.failed.wait(GRACE):
            peers.wait_for_the_end()
        peers.say(1, traceback.format_exc())
        raise
    peers.say(0, "")


class Peers:
    """A connection between rank 0 and every other process, which the system closes when one of them dies.

    On each of them nothing is sent but a line of JSON from either side, before it ends: {"code": exit
    code, "text": error, "process": whose}. Rank 0 passes on to all what it hears of one.
    """

    def __init__(self, rank: int, world: int):
        self.rank, self.failed, self.code = rank, threading.Event(), 1
        own = os.path.join(
            os.environ.get("PADDLE_LOG_DIR", "log"), f"workerlog.{os.environ.get('PADDLE_LOCAL_RANK', rank)}"
        )
        self.logs = distributed.gather([f"{own} on {socket.gethostname()}"], world)
        server, welcome = _listen() if rank == 0 else (None, None)
        address, token = distributed.gather([welcome] if welcome else [], world)[0]
        self.connections = _accept(server, token, world) if server else {0: _connect(address, token, rank)}
        for peer, connection in self.connections.items():
            threading.Thread(target=self._watch, args=(peer, connection), daemon=True).start()

    def say(self, code: int, text: str, process: Optional[int] = None) -> None:
        """Tell the others how this process, or `process`, ends."""
        process = self.rank if process is None else process
        line = json.dumps({"code": code, "text": text[-_LONGEST // 10 :], "process": process}) + "\n"
        for connection in self.connections.values():
            with suppress(OSError):
                connection.sendall(line.encode())

    def wait_for_the_end(self) -> NoReturn:
        """Leave the last word to the thread that knows the cause; obey the launcher, should it be faster."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: os._exit(self.code))
        while True:
            time.sleep(60)

    def _watch(self, peer: int, connection: socket.socket) -> None:
        code, text = 1, "it was killed, or its machine has gone"
        with suppress(OSError, ValueError):
            words = json.loads(connection.makefile(encoding="utf-8").readline(_LONGEST))
            code, text, peer = words["code"], words["text"], words["process"]
        if code == 0 or self.failed.is_set():
            return
        self.code = code
        self.failed.set()
        if self.rank == 0:
            self.say(code, text, peer)
        time.sleep(GRACE)  # within which this process may come to the same end by itself
        print(
            f"process {peer} of this job has failed (its log: {self.logs[peer]}):\n{text}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(code)


def _listen() -> tuple[socket.socket, tuple[tuple[str, int], str]]:
    """Open a port for the others; return it with what they must know: its address and a password."""
    host = os.environ.get("PADDLE_CURRENT_ENDPOINT", "127.0.0.1:0").rsplit(":", 1)[0]
    server = socket.create_server((host, 0))
    return server, ((host, server.getsockname()[1]), secrets.token_hex(16))


def _accept(server: socket.socket, token: str, world: int) -> dict[int, socket.socket]:
    connections: dict[int, socket.socket] = {}
    server.settimeout(60)
    with server:
        while len(connections) < world - 1:
            connection, _ = server.accept()
            connection.settimeout(10)
            with suppress(OSError, ValueError):
                password, _, rank = _receive(connection, len(token) + 9).partition(" ")
                if secrets.compare_digest(password, token):
                    connections[int(rank)] = _keep(connection)
    return connections


def _connect(address: tuple[str, int], token: str, rank: int) -> socket.socket:
    connection = socket.create_connection(tuple(address), timeout=60)
    connection.sendall(f"{token} {rank:8d}".encode())
    return _keep(connection)


def _receive(connection: socket.socket, size: int) -> str:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise OSError("closed")
        received += part
    return received.decode("ascii")


def _keep(connection: socket.socket) -> socket.socket:
    """Wait for words without end, but notice within 35 s that the other machine has gone."""
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection
