"""A request from its first byte to its last: a place in the queue, the file, a worker, the picture."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Optional
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from paddle_restore.serving.catalogue import Catalogue, Limits, ModelDescription, ModelList
from paddle_restore.serving.connections import Connections
from paddle_restore.serving.folder import private_folder
from paddle_restore.serving.metrics import Metrics
from paddle_restore.serving.parameters import MEDIA_TYPES, PreviewParameters, check_query, with_fields
from paddle_restore.serving.pool import Pool, Progress
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.processing import RestoreRequest, RestoreResult, Task
from paddle_restore.serving.settings import MAX_RETRY_SECONDS, Settings
from paddle_restore.serving.upload import UNNAMED, receive


class Service:
    """The state of a running service. Raises UserError for folders that cannot be served."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.catalogue = Catalogue(settings.model_dirs)
        self.metrics = Metrics()
        self.pool = Pool(settings, self.metrics.replaced)
        self.progress: dict[str, Progress] = {}
        self.open_requests = 0
        self.draining = False
        self.connections = Connections(settings)
        self.folder = Path()
        self._typical_seconds = 1.0  # of a request, for Retry-After

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Workers and a private folder, for as long as the block lasts."""
        with private_folder() as self.folder:
            await self.pool.start()
            try:
                yield
            finally:
                await self.pool.stop()

    @property
    def ready(self) -> bool:
        return self.pool.ready and not self.draining

    def described(self) -> ModelList:
        """The answer of /v1/models."""
        settings = self.settings
        limits = Limits(bytes=settings.max_bytes, pixels=settings.max_pixels, seconds=settings.seconds)
        return ModelList(models=list(self.catalogue.models.values()), limits=limits)

    async def answer(
        self, request: Request, task: Task, parameters: PreviewParameters, request_id: Optional[str]
    ) -> Response:
        """Process a request. Raises Problem, and ClientDisconnect if the client has left."""
        check_query(request.query_params)
        self._check_room()
        opened = OpenRequest(self, request_id)
        try:
            upload = await receive(request, opened.folder, self.settings)
            parameters = with_fields(parameters, request.query_params, upload.fields)
            model = self.catalogue.choose(parameters.model, upload.path.suffix.lower())
            values = {**parameters.model_dump(), "model": model.name}
            restore_request = RestoreRequest(task, path=str(upload.path), name=upload.name, **values)
            result = await opened.process(restore_request, request)
            self._typical_seconds += 0.2 * (result.seconds - self._typical_seconds)
            self.metrics.worked(task, model.name, result.seconds)
            return _Picture(opened, restore_request, result, model)
        except BaseException:
            opened.close()
            raise

    def _check_room(self) -> None:
        if self.draining:
            raise Problem(503, "the service is shutting down; try again later", retry_after=10)
        if not self.pool.ready:
            raise Problem(503, "the service is starting; try again soon", retry_after=5)
        if self.open_requests >= self.settings.max_requests:
            # Until about half of the queue is done.
            seconds = self.open_requests * self._typical_seconds / self.settings.workers / 2
            retry_after = int(min(max(1, round(seconds)), MAX_RETRY_SECONDS))
            raise Problem(429, "too many requests are waiting; try again later", retry_after)


class OpenRequest:
    """A request that counts against the queue, its progress and its files. `close` ends all three."""

    def __init__(self, service: Service, request_id: Optional[str]):
        self.folder = Path(tempfile.mkdtemp(prefix="request-", dir=service.folder))
        self.service, self.id, self.progress = service, request_id, Progress()
        self._closed = False
        self._work: Optional[asyncio.Future[RestoreResult]] = None
        service.open_requests += 1
        if request_id:
            service.progress[request_id] = self.progress

    async def process(self, restore_request: RestoreRequest, request: Request) -> RestoreResult:
        """Wait for a worker's result. Raises Problem, and ClientDisconnect where the client goes away."""
        self.progress.state = "waiting"
        self._work = work = asyncio.ensure_future(self.service.pool.run(restore_request, self.progress))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise ClientDisconnect
        finally:
            gone.cancel()
            if not work.done():  # the client has left
                if self.progress.state == "working":
                    restore_request.cancel()
                else:
                    work.cancel()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.service.open_requests -= 1
        if self.id and self.service.progress.get(self.id) is self.progress:
            del self.service.progress[self.id]
        if self._work and not self._work.done():
            self._work.add_done_callback(self._remove_files)  # until then the worker may write there
        else:
            self._remove_files(self._work)

    def _remove_files(self, work: Optional[asyncio.Future[RestoreResult]]) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if work and not work.cancelled():
            work.exception()  # asyncio would log an exception that nobody has read


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Picture(FileResponse):
    """The picture of a request, which is closed with the last bytes, or when the client stops reading."""

    def __init__(
        self, opened: OpenRequest, request: RestoreRequest, result: RestoreResult, model: ModelDescription
    ):
        path = Path(result.path)
        stem = Path(request.name).stem if request.name != UNNAMED else "picture"
        name = f"{stem}-{'restored' if request.task == 'restore' else 'preview'}{path.suffix}"
        headers = {
            "X-Seconds": f"{result.seconds:.3f}",
            "X-Model": quote(model.name),
            "X-Model-Version": model.version,
        }
        if result.ratio is not None:
            headers["X-Ratio"] = f"{result.ratio:.4g}"
        if request.task == "restore" and model.max_strength is not None:
            headers["X-Strength"] = f"{request.strength:g}"
        super().__init__(path, headers=headers, media_type=MEDIA_TYPES[path.suffix[1:]], filename=name)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._opened.close()  # before the client has the whole picture: then nothing of it stays
            await send(message)

        try:
            await super().__call__(scope, receive, send_and_close)
        finally:
            self._opened.close()
