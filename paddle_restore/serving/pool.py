"""The worker processes of a service: started, given jobs, watched, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

import paddle_restore
from paddle_restore import huge_pages
from paddle_restore.errors import UserError
from paddle_restore.serving.jobs import Done, Job
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.settings import Settings

_WATCH_SECONDS = 0.2
_START_SECONDS = 300  # a large model on a slow disk


class Died(Exception):
    """The worker's process ended."""


class Worker:
    """One process, and the lines that go to it and come from it."""

    def __init__(self, process: Any):
        self._process = process
        self.pid: int = process.pid
        self.over_memory = False
        self._doomed = False

    @classmethod
    async def start(cls, settings: Settings) -> Worker:
        """Start a process and wait until it has opened the models. Raises UserError where it cannot."""
        root = str(Path(paddle_restore.__file__).resolve().parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**huge_pages.ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        environment.pop("PADDLE_RESTORE_TOKEN", None)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paddle_restore.serving.worker", settings.for_worker()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the service, which lets workers finish
        )
        worker = cls(process)
        try:
            answer = await asyncio.wait_for(worker._answer(), _START_SECONDS)
        except Died:
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
        return self._process.returncode is None and not self._doomed

    async def do(self, job: Job, progress: Callable[[int, int], None]) -> dict[str, Any]:
        """Return the worker's last answer for a job. Raises Died."""
        try:
            self._process.stdin.write((json.dumps(asdict(job)) + "\n").encode())
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            self._doomed = True
            raise Died from None
        while True:
            answer = await self._answer()
            if "progress" not in answer:
                return answer
            progress(*answer["progress"])

    async def _answer(self) -> dict[str, Any]:
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            self._doomed = True
            raise Died
        return json.loads(line)

    def kill(self) -> None:
        self._doomed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def ended(self) -> None:
        await self._process.wait()

    def resident(self) -> int:
        """Bytes of memory; 0 for a process that is gone."""
        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.Error:
            return 0


class Pool:
    """As many workers as the settings say. A job that finds none free waits for one, first come first served.

    `replaced` counts the workers that were, and `on_replaced` is called with each.
    """

    def __init__(self, settings: Settings, on_replaced: Callable[[], None] = lambda: None):
        self.settings, self._on_replaced = settings, on_replaced
        self.workers: set[Worker] = set()
        self.busy = 0
        self._tasks: set[asyncio.Task] = set()
        self._stopping = False

    @property
    def ready(self) -> bool:
        return any(worker.alive for worker in self.workers)

    async def start(self) -> None:
        """Start all workers. Raises UserError where the first ones already fail."""
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()  # belongs to the loop that runs
        try:
            await asyncio.gather(*(self._add() for _ in range(self.settings.workers)))
        except BaseException:
            await self.stop()
            raise
        self._spawn(self._watch_memory())

    async def stop(self) -> None:
        """End all workers, whatever they do."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        for worker in self.workers:
            worker.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.ended() for worker in self.workers))

    async def run(self, job: Job, progress: Callable[[int, int], None], on_start: Callable[[], None]) -> Done:
        """Do a job; `on_start` is called when a worker takes it. Raises Problem."""
        worker = await self._next()
        on_start()
        self.busy += 1
        try:
            answer = await asyncio.wait_for(worker.do(job, progress), self.settings.seconds)
        except asyncio.TimeoutError:
            worker.kill()
            raise Problem(
                503,
                f"{job.name}: took longer than the {self.settings.seconds:g} seconds that a request may; "
                "send a smaller picture, or leave self_ensemble away",
            ) from None
        except Died:
            raise Problem(503, f"{job.name}: {self._obituary(worker)}") from None
        except BaseException:  # the service stops
            worker.kill()
            raise
        finally:
            self.busy -= 1
            if worker.alive:
                self._idle.put_nowait(worker)
        if "done" in answer:
            return Done(**answer["done"])
        raise Problem(answer.get("status", 499), answer.get("error", "the client went away"))

    async def _next(self) -> Worker:
        while True:
            try:
                worker = await asyncio.wait_for(self._idle.get(), self.settings.seconds)
            except asyncio.TimeoutError:
                raise Problem(503, "no worker became free in time; try again later", retry_after=30) from None
            if worker.alive:
                return worker

    def _obituary(self, worker: Worker) -> str:
        if worker.over_memory:
            return (
                f"needed more than the {self.settings.worker_memory / 1e9:.1f} GB of memory "
                "that a request may; send a smaller picture, or a smaller tile"
            )
        return "the process that worked on it was ended by the system; it has been replaced"

    async def _add(self) -> None:
        worker = await Worker.start(self.settings)
        self.workers.add(worker)
        self._idle.put_nowait(worker)
        self._spawn(self._replace_at_end(worker))

    async def _replace_at_end(self, worker: Worker) -> None:
        await worker.ended()
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
            pause = min(2 * pause, 60.0)

    async def _watch_memory(self) -> None:
        while True:
            for worker in tuple(self.workers):
                if worker.alive and worker.resident() > self.settings.worker_memory:
                    worker.over_memory = True
                    worker.kill()
            await asyncio.sleep(_WATCH_SECONDS)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def forget(job: Job) -> None:
    """Tell whoever works on a job that nobody waits for it any more."""
    with contextlib.suppress(OSError):
        os.unlink(job.path)
