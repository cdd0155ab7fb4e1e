"""The worker processes of a service: started, given requests, watched, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import psutil

import paddle_restore
from paddle_restore import huge_pages
from paddle_restore.errors import UserError
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.processing import RestoreRequest, RestoreResult, remedy
from paddle_restore.serving.settings import TOKEN, Settings

_WATCH_SECONDS = 0.2
_START_SECONDS = 300  # a large model on a slow disk
_MAX_PAUSE = 60.0  # seconds between two attempts to replace a worker


class WorkerEnded(Exception):
    """The worker's process has ended."""


@dataclass
class Progress:
    """How far a request is: `done` of `total` windows, once a worker works on it.

    seconds_left  by the model's measured speed, then by the windows that are done
    """

    state: Literal["receiving", "waiting", "working"] = "receiving"
    done: int = 0
    total: int = 0
    seconds_left: Optional[float] = None


class Worker:
    """One process. Lines of JSON go to it and come from it (see worker.py)."""

    def __init__(self, process: Process):
        assert process.stdin
        assert process.stdout
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self.over_memory = False
        self._broken = False

    @classmethod
    async def start(cls, settings: Settings) -> Worker:
        """Start a process and wait until it has opened the models. Raises UserError where it cannot."""
        root = str(Path(paddle_restore.__file__).resolve().parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**huge_pages.ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        environment.pop(TOKEN, None)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paddle_restore.serving.worker", settings.to_json()),
            stdin=PIPE,
            stdout=PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the service, which lets workers finish
        )
        worker = cls(process)
        try:
            answer = await asyncio.wait_for(worker._answer(), _START_SECONDS)
        except WorkerEnded:
            raise UserError("a worker process ended before it had opened the models (see above)") from None
        except asyncio.TimeoutError:
            worker.kill()
            raise UserError(f"a worker process did not open the models in {_START_SECONDS} s") from None
        except BaseException:
            worker.kill()
            raise
        if "failed" in answer:
            raise UserError(answer["failed"])
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._broken

    async def process(self, request: RestoreRequest, progress: Progress) -> dict[str, Any]:
        """Return the worker's last answer to a request. Raises WorkerEnded."""
        try:
            self._stdin.write((json.dumps(asdict(request)) + "\n").encode())
            await self._stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            self._broken = True
            raise WorkerEnded from None
        while True:
            answer = await self._answer()
            if "progress" not in answer:
                return answer
            progress.done, progress.total, progress.seconds_left = answer["progress"]

    async def _answer(self) -> dict[str, Any]:
        line = await self._stdout.readline()
        if not line.endswith(b"\n"):
            self._broken = True
            raise WorkerEnded
        return json.loads(line)

    def kill(self) -> None:
        self._broken = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> None:
        """Wait until the process has ended."""
        await self._process.wait()

    def resident(self) -> int:
        """Bytes of memory; 0 for a process that is gone."""
        try:
            return psutil.Process(self._process.pid).memory_info().rss
        except psutil.Error:
            return 0


class Pool:
    """As many workers as the settings say. Requests that find none free wait in a queue.

    `on_replaced` is called each time that a worker has ended and is to be replaced.
    """

    def __init__(self, settings: Settings, on_replaced: Callable[[], None] = lambda: None):
        self.settings, self._on_replaced = settings, on_replaced
        self.workers: set[Worker] = set()
        self.busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def ready(self) -> bool:
        return any(worker.alive for worker in self.workers)

    async def start(self) -> None:
        """Start all workers. Raises UserError where the first ones already fail."""
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()  # here, as it belongs to the running loop
        try:
            await asyncio.gather(*(self._add() for _ in range(self.settings.workers)))
        except BaseException:
            await self.stop()
            raise
        self._spawn(self._watch_memory())

    async def stop(self) -> None:
        """End all workers, also busy ones."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        for worker in self.workers:
            worker.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.wait() for worker in self.workers))

    async def run(self, request: RestoreRequest, progress: Progress) -> RestoreResult:
        """Have a worker process a request. Raises Problem."""
        worker = await self._next()
        progress.state = "working"
        self.busy += 1
        try:
            answer = await asyncio.wait_for(worker.process(request, progress), self.settings.seconds)
        except asyncio.TimeoutError:
            worker.kill()
            raise Problem(
                503,
                f"{request.name}: took longer than the {self.settings.seconds:g} seconds that a request may; "
                f"{remedy(request)}",
            ) from None
        except WorkerEnded:
            raise Problem(503, f"{request.name}: {self._why_ended(worker)}") from None
        except BaseException:  # the service stops
            worker.kill()
            raise
        finally:
            self.busy -= 1
            if worker.alive:
                self._idle.put_nowait(worker)
        if "done" in answer:
            return RestoreResult(**answer["done"])
        status = answer.get("status", 499)
        retry_after = 30 if status == 503 else None  # the disk is full
        raise Problem(status, answer.get("error", "the client went away"), retry_after)

    async def _next(self) -> Worker:
        while True:
            try:
                worker = await asyncio.wait_for(self._idle.get(), self.settings.seconds)
            except asyncio.TimeoutError:
                raise Problem(503, "no worker became free in time; try again later", retry_after=30) from None
            if worker.alive:
                return worker

    def _why_ended(self, worker: Worker) -> str:
        if self._stopping:
            return "the service was stopped"
        if worker.over_memory:
            return (
                f"needed more than the {self.settings.worker_memory:.1f} GB of memory "
                "that a request may; send a smaller picture, or a smaller tile"
            )
        return "the process that worked on it was ended by the system; it has been replaced"

    async def _add(self) -> None:
        worker = await Worker.start(self.settings)
        used, limit = worker.resident() / 1e9, self.settings.worker_memory
        if used > limit:
            worker.kill()
            raise UserError(
                f"--worker_memory {limit:g}: a worker takes {used:.2f} GB as soon as its models "
                "are open; allow more"
            )
        self.workers.add(worker)
        self._idle.put_nowait(worker)
        self._spawn(self._replace_at_end(worker))

    async def _replace_at_end(self, worker: Worker) -> None:
        await worker.wait()
        self.workers.discard(worker)
        self._on_replaced()
        pause = 0.5
        while not self._stopping:
            try:
                await self._add()
                return
            except (UserError, OSError) as error:
                print(f"warning: no new worker yet: {error}", file=sys.stderr, flush=True)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)

    async def _watch_memory(self) -> None:
        while True:
            for worker in tuple(self.workers):
                if worker.alive and worker.resident() > self.settings.worker_memory * 1e9:
                    worker.over_memory = True
                    worker.kill()
            await asyncio.sleep(_WATCH_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
