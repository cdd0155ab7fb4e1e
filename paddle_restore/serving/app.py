"""The service's addresses."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import paddle_restore
from paddle_restore.serving import openapi
from paddle_restore.serving.guard import Guard, problem_response
from paddle_restore.serving.pages import add_page
from paddle_restore.serving.parameters import Parameters, PreviewParameters
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.service import Service


def create_app(service: Service) -> FastAPI:
    """The ASGI application of a service; its workers live as long as the application's lifespan."""

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
    )
    app.add_middleware(Guard, service=service)
    _answer_errors_as_json(app)
    _add_work(app, service)
    _add_state(app, service)
    add_page(app)
    app.openapi = lambda: openapi.document(app, service)
    return app


def _answer_errors_as_json(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return problem_response(error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        text = {404: "there is nothing at this address", 405: f"{request.method} is not possible here"}
        body = {"error": text.get(error.status_code, str(error.detail))}
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # to nobody; counted

    @app.exception_handler(OSError)
    async def full(_: Request, error: OSError) -> Response:
        print(f"warning: a request's file cannot be kept: {error}", file=sys.stderr, flush=True)
        return problem_response(Problem(503, f"no room for the file ({error.strerror})", retry_after=30))

    @app.exception_handler(Exception)
    async def bug(_: Request, error: Exception) -> Response:
        return problem_response(Problem(500, "something went wrong; the service's log says more"))


def _add_work(app: FastAPI, service: Service) -> None:
    @app.post("/v1/restore", tags=["restore"], summary="Restore a picture or raw file")
    async def restore(request: Request) -> Response:
        return await service.answer(request, "restore", Parameters)

    @app.post("/v1/preview", tags=["restore"], summary="Show what a file holds, a raw file amplified")
    async def preview(request: Request) -> Response:
        return await service.answer(request, "preview", PreviewParameters)

    @app.get("/v1/progress/{id}", tags=["restore"], summary="How far a request is")
    async def progress(id: str) -> dict[str, Any]:
        known = service.progress.get(id)
        if known is None:
            raise Problem(404, "there is no request of this id at work")
        return {"state": known.state, "done": known.done, "total": known.total}

    @app.get("/v1/models", tags=["models"], summary="The models, their licences and what they take")
    async def models() -> dict[str, Any]:
        settings = service.settings
        return {
            "models": [model.described() for model in service.catalogue.models.values()],
            "limits": {
                "bytes": settings.max_body,
                "pixels": settings.max_pixels,
                "seconds": settings.seconds,
            },
        }


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["state"], summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["state"], summary="Requests are taken")
    async def readyz() -> dict[str, str]:
        if not service.ready:
            raise Problem(503, "shutting down" if service.draining else "starting", retry_after=5)
        return {"status": "ready"}

    @app.get("/metrics", tags=["state"], summary="For Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(service.pool, service.places), media_type=openapi.PROMETHEUS)
