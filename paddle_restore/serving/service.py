"""A request from its first byte to its last: a place, the file, a worker, the picture."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from paddle_restore.serving.catalogue import Catalogue, Model
from paddle_restore.serving.jobs import Done, Job
from paddle_restore.serving.metrics import Metrics
from paddle_restore.serving.parameters import FORMATS, PreviewParameters, parse
from paddle_restore.serving.pool import Pool, forget
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.settings import Settings
from paddle_restore.serving.upload import Upload, receive

_CHUNK = 1 << 18
_RETRY_MOST = 60
_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


@dataclass
class Progress:
    """state: receiving, waiting, working; done of total windows, once working."""

    state: str = "receiving"
    done: int = 0
    total: int = 0

    def put(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    def working(self) -> None:
        self.state = "working"


class Service:
    """The state of a running service. Raises UserError for folders that cannot be served."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.catalogue = Catalogue(settings.model_dirs)
        self.metrics = Metrics()
        self.pool = Pool(settings, self.metrics.replaced)
        self.progress: dict[str, Progress] = {}
        self.places = 0
        self.draining = False
        self.connections: Collection[Any] = ()  # the server's, open now
        self._typical = 1.0  # seconds of a request, for Retry-After
        self._root = Path()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Workers and a private folder, for as long as the block lasts."""
        self._root = Path(tempfile.mkdtemp(prefix="paddle-restore-"))
        try:
            await self.pool.start()
            try:
                yield
            finally:
                await self.pool.stop()
        finally:
            shutil.rmtree(self._root, ignore_errors=True)

    @property
    def ready(self) -> bool:
        return self.pool.ready and not self.draining

    async def answer(self, request: Request, task: str, kind: type[PreviewParameters]) -> Response:
        """Do what a request asks. Raises Problem, and ClientDisconnect where nobody waits any more."""
        query = request.query_params.multi_items()
        parse(kind, query, {})  # before the body comes
        place, upload = self._enter(request.headers.get("x-request-id")), None
        try:
            settings = self.settings
            upload = await receive(request, self._root, settings.max_body, settings.transfer_seconds)
            place.uses = upload
            parameters = parse(kind, query, upload.fields)
            model = self.catalogue.choose(parameters.model)
            values = {**parameters.model_dump(), "model": model.name}
            job = Job(task, path=str(upload.path), name=upload.name, **values)
            place.progress.state = "waiting"
            done = await self._work(request, job, place)
            self._typical += 0.2 * (done.seconds - self._typical)
            self.metrics.worked(task, model.name, done.seconds)
            return Picture(done, _headers(done, job, model), settings.transfer_seconds, place.leave)
        except BaseException:
            place.leave()
            raise

    def _enter(self, id: Optional[str]) -> Place:
        if id is not None and not _ID.fullmatch(id):
            raise Problem(422, "X-Request-Id: must be 8 to 64 letters, digits or hyphens")
        if self.draining:
            raise Problem(503, "the service is shutting down; try again later", retry_after=10)
        if not self.pool.ready:
            raise Problem(503, "the service is starting; try again soon", retry_after=5)
        if self.places >= self.settings.workers + self.settings.queue:
            raise Problem(429, "too many requests are waiting; try again later", self._retry_after())
        return Place(self, id)

    def _retry_after(self) -> int:
        """Seconds until about half of the queue is through."""
        seconds = self.places * self._typical / self.settings.workers / 2
        return int(min(max(1, round(seconds)), _RETRY_MOST))

    async def _work(self, request: Request, job: Job, place: Place) -> Done:
        progress = place.progress
        task = asyncio.ensure_future(self.pool.run(job, progress.put, progress.working))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ClientDisconnect
        finally:
            gone.cancel()
            if not task.done():
                _abandon(task, job, place)


class Place:
    """A request's right to be here: its share of the queue, its files, its progress.

    `leave` gives all back.
    """

    def __init__(self, service: Service, id: Optional[str]):
        self._service, self._id, self._left = service, id, False
        self.uses: Optional[Upload] = None
        self.progress = Progress()
        service.places += 1
        if id:
            service.progress[id] = self.progress

    def leave(self) -> None:
        if self._left:
            return
        self._left = True
        self._service.places -= 1
        if self._id and self._service.progress.get(self._id) is self.progress:
            del self._service.progress[self._id]
        if self.uses:
            self.uses.remove()


def _abandon(task: asyncio.Future, job: Job, place: Place) -> None:
    """Nobody waits for it: take a job out of the queue, or tell its worker to stop after this window."""
    upload, place.uses = place.uses, None  # the worker may still write into the folder

    def tidy(done: asyncio.Future) -> None:
        upload.remove()
        if not done.cancelled():
            done.exception()  # seen, and of interest to nobody

    task.add_done_callback(tidy)
    if place.progress.state == "working":
        forget(job)
    else:
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _headers(done: Done, job: Job, model: Model) -> dict[str, str]:
    path = Path(done.path)
    stem = Path(job.name).stem if job.name != "the file" else "picture"
    name = quote(f"{stem}-{'restored' if job.task == 'restore' else 'preview'}{path.suffix}", safe="")
    headers = {
        "Content-Type": FORMATS[path.suffix[1:]],
        "Content-Length": str(path.stat().st_size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Seconds": f"{done.seconds:.3f}",
        "X-Model": quote(model.name),
        "X-Model-Version": model.version,
    }
    return headers if done.ratio is None else {**headers, "X-Ratio": f"{done.ratio:.4g}"}


class Picture(Response):
    """A file, sent piece by piece; `done` is called when it is through, or the client is too slow."""

    def __init__(self, result: Done, headers: dict[str, str], seconds: float, done: Callable[[], Any]):
        self.status_code, self.background, self.body = 200, None, b""
        self.init_headers(headers)
        self._path, self._seconds, self._done = result.path, seconds, done

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            with open(self._path, "rb") as file:
                while part := file.read(_CHUNK):
                    message = {"type": "http.response.body", "body": part, "more_body": True}
                    await asyncio.wait_for(send(message), self._seconds)
            await send({"type": "http.response.body", "body": b""})
        except asyncio.TimeoutError:
            return  # unfinished: the server closes the connection
        finally:
            self._done()
