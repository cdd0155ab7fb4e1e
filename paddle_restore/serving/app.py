"""The service's addresses: the interface for programs at /v1, the page at /, and the service's state."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import paddle_restore
from paddle_restore.serving import example, openapi
from paddle_restore.serving.catalogue import ModelList
from paddle_restore.serving.guard import Guard, problem_response
from paddle_restore.serving.openapi import State
from paddle_restore.serving.parameters import (
    MEDIA_TYPES,
    PreviewParameters,
    ProgressId,
    RequestId,
    RestoreParameters,
    invalid,
)
from paddle_restore.serving.pool import Progress
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.service import Service

_PAGE = Path(__file__).parent / "page"


def create_app(service: Service) -> FastAPI:
    """The ASGI application of a service. Its workers live as long as the application's lifespan."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="paddle_restore",
        version=paddle_restore.__version__,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # /healthz/ would redirect to whatever host the client names
    )
    app.add_middleware(Guard, service=service)
    for kind in (Problem, RequestValidationError, HTTPException, ClientDisconnect, OSError, Exception):
        app.add_exception_handler(kind, _answer_error)
    app.include_router(_programs(service))
    _add_state(app, service)
    _add_page(app)
    _complete_document(app, service)
    return app


def _complete_document(app: FastAPI, service: Service) -> None:
    """Give the document the answer of /v1/models as an example: FastAPI would leave its nulls out."""

    def openapi() -> dict[str, Any]:
        document = FastAPI.openapi(app)
        models = document["paths"]["/v1/models"]["get"]["responses"]["200"]
        models["content"]["application/json"]["example"] = service.described().model_dump(mode="json")
        return document

    app.openapi = openapi  # type: ignore[method-assign]


async def _answer_error(request: Request, error: Exception) -> Response:
    """Answer every error as JSON {"error": one line}."""
    if isinstance(error, HTTPException):  # there is no such route
        text = {404: "there is nothing at this address", 405: f"{request.method} is not possible here"}
        body = {"error": text.get(error.status_code, str(error.detail))}
        return JSONResponse(body, error.status_code, error.headers)
    if isinstance(error, RequestValidationError):
        error = invalid(error.errors())
    elif isinstance(error, ClientDisconnect):
        error = Problem(499, "the client went away")  # nobody gets it; it is counted
    elif isinstance(error, OSError):
        print(f"warning: a request's file cannot be kept: {error}", file=sys.stderr, flush=True)
        error = Problem(503, f"no room for the file ({error.strerror})", retry_after=30)
    elif not isinstance(error, Problem):
        error = Problem(500, "something went wrong; the service's log says more")
    return problem_response(error)


def _programs(service: Service) -> APIRouter:
    """Addresses for which the guard requires a token. FastAPI knows the token for its document only."""
    errors = partial(openapi.errors, service.settings)
    token = Depends(HTTPBearer(scheme_name="token", auto_error=False))
    router = APIRouter(
        dependencies=[token] if service.settings.token else [], responses=errors(401, 403, 503)
    )
    work_errors = errors(400, 404, 408, 413, 415, 422, 429)
    model = next(iter(service.catalogue.models))

    @router.post(
        "/v1/restore",
        tags=["restore"],
        response_class=FileResponse,
        responses={**openapi.picture(*MEDIA_TYPES.values()), **work_errors},
        openapi_extra=openapi.upload_body(RestoreParameters, model),
    )
    async def restore(
        request: Request, parameters: Annotated[RestoreParameters, Query()], request_id: RequestId = None
    ) -> Response:
        """Restore a picture or raw file."""
        return await service.answer(request, "restore", parameters, request_id)

    @router.post(
        "/v1/preview",
        tags=["restore"],
        response_class=FileResponse,
        responses={**openapi.picture(MEDIA_TYPES["jpg"]), **work_errors},
        openapi_extra=openapi.upload_body(PreviewParameters, model),
    )
    async def preview(
        request: Request, parameters: Annotated[PreviewParameters, Query()], request_id: RequestId = None
    ) -> Response:
        """Show what a file holds, a raw file amplified."""
        return await service.answer(request, "preview", parameters, request_id)

    @router.get("/v1/progress/{id}", tags=["restore"], responses=errors(404, 422))
    async def progress(id: ProgressId) -> Progress:
        """How far a request is."""
        if id not in service.progress:
            raise Problem(404, "there is no request of this id at work")
        return service.progress[id]

    @router.get("/v1/models", tags=["models"])
    async def models() -> ModelList:
        """The models, their licences and what they take; the limits of requests."""
        return service.described()

    @router.get("/metrics", tags=["state"], response_class=Response, responses=openapi.PROMETHEUS_TEXT)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        content = service.metrics.text(service.pool, service.open_requests)
        return Response(content, media_type=openapi.PROMETHEUS)

    return router


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["state"])
    async def healthz() -> State:
        """The process answers."""
        return State(status="ok")

    @app.get("/readyz", tags=["state"], responses=openapi.errors(service.settings, 503))
    async def readyz() -> State:
        """Requests are taken."""
        if not service.ready:
            raise Problem(503, "shutting down" if service.draining else "starting", retry_after=5)
        return State(status="ready")


def _add_page(app: FastAPI) -> None:
    app.mount("/page", StaticFiles(directory=_PAGE))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    noisy_picture, dark_raw = lru_cache(example.noisy_picture), lru_cache(example.dark_raw)

    @app.get("/example.png", include_in_schema=False)
    async def picture() -> Response:
        return Response(noisy_picture(), media_type="image/png")

    @app.get("/example.dng", include_in_schema=False)
    async def raw() -> Response:
        return Response(dark_raw(), media_type="image/x-adobe-dng")
