"""The service's description for machines, with answers that it really gives."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from paddle_restore.data.formats import output_formats, titles
from paddle_restore.serving.parameters import FORMATS, Parameters, PreviewParameters
from paddle_restore.serving.service import Service
from paddle_restore.serving.settings import TOKEN

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
DESCRIPTION = f"""Restores dark raw photographs and noisy pictures.

`curl -F file=@noisy.jpg -F format=png http://127.0.0.1:8080/v1/restore -o clean.png`

Where the service has a token ({TOKEN}), requests carry it: `Authorization: Bearer TOKEN`."""

_ERRORS = {
    400: ("The request cannot be understood", "the multipart body is cut short"),
    401: ("The token is missing or wrong", "this service needs its token: Authorization: Bearer TOKEN"),
    403: (
        "Sent by another site's page, or by a foreign name for this machine",
        "requests from other sites' pages are refused",
    ),
    404: ("No such model", "model: there is none of that name; choose from: mirnet_v2"),
    408: ("The body came too slowly", "the file did not arrive within 60 seconds"),
    413: ("Too many bytes or pixels", "the file is larger than 134 MB, which is the limit here"),
    415: (
        "A file of another kind than the model's",
        f"night.dng: is a raw file, and mirnet_v2 restores pictures ({titles(output_formats(), last=', ')})",
    ),
    422: (
        "A parameter is wrong, or the file is broken",
        "noisy.png: cannot be read as a picture; the file is broken or cut short",
    ),
    429: (
        "The queue is full; Retry-After says when to come back",
        "too many requests are waiting; try again later",
    ),
    503: (
        "Starting, shutting down, too many connections, or out of room, time or memory for this file",
        "the service is shutting down; try again later",
    ),
}
_ERROR = {"$ref": "#/components/schemas/Error"}
_TEXT, _NUMBER, _COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}


def document(app: FastAPI, service: Service) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if app.openapi_schema:
        return app.openapi_schema
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    paths = made["paths"]
    for path, kind in (("/v1/restore", Parameters), ("/v1/preview", PreviewParameters)):
        paths[path]["post"].update(_work(kind, service))
    paths["/v1/progress/{id}"]["get"]["responses"] = {
        **_json("How far it is", _object(state=_TEXT, done=_COUNT, total=_COUNT), _PROGRESS),
        **_errors(401, 403, 404, 503),
    }
    example = {
        "models": [model.described() for model in service.catalogue.models.values()],
        "limits": {
            "bytes": service.settings.max_body,
            "pixels": service.settings.max_pixels,
            "seconds": service.settings.seconds,
        },
    }
    models = _object(models={"type": "array", "items": {"type": "object"}}, limits={"type": "object"})
    paths["/v1/models"]["get"]["responses"] = {
        **_json("The models", models, example),
        **_errors(401, 403, 503),
    }
    state = _object(status=_TEXT)
    paths["/healthz"]["get"]["responses"] = _json("It answers", state, {"status": "ok"})
    paths["/readyz"]["get"]["responses"] = {
        **_json("It is ready", state, {"status": "ready"}),
        **_errors(503),
    }
    paths["/metrics"]["get"]["responses"] = {
        "200": {"description": "Prometheus's text format", "content": {PROMETHEUS: {"schema": _TEXT}}},
        **_errors(401, 403, 503),
    }
    made["components"] = {"schemas": {"Error": _object(error=_TEXT)}}
    if service.settings.token:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    app.openapi_schema = made
    return made


_PROGRESS = {"state": "working", "done": 3, "total": 12}


def _work(kind: type[PreviewParameters], service: Service) -> dict[str, Any]:
    schema = kind.model_json_schema()
    fields = {name: _field(one) for name, one in schema["properties"].items()}
    file = {"type": "string", "format": "binary", "description": "a picture or a camera's raw file"}
    names = list(service.catalogue.models)
    fields["model"]["example"] = names[0]
    id = {"type": "string", "pattern": "^[A-Za-z0-9-]{8,64}$"}
    parameters = [
        {"name": name, "in": "query", "schema": field, "description": field.pop("description")}
        for name, field in ((name, dict(field)) for name, field in fields.items())
    ]
    parameters.append(
        {"name": "X-Request-Id", "in": "header", "schema": id, "description": "for /v1/progress"}
    )
    form = {"type": "object", "properties": {"file": file, **fields}, "required": ["file"]}
    media = FORMATS.values() if kind is Parameters else [FORMATS["jpg"]]
    headers = {
        "X-Seconds": "reading, restoring and writing took so long",
        "X-Ratio": "amplification that was used (raw files)",
        "X-Model": "name of the model",
        "X-Model-Version": "changes with the model's files",
    }
    numbers = ("X-Seconds", "X-Ratio")
    picture = {
        "description": "The picture",
        "headers": {
            name: {"description": what, "schema": _NUMBER if name in numbers else _TEXT}
            for name, what in headers.items()
        },
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media},
    }
    return {
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {"200": picture, **_errors(*_ERRORS)},
    }


def _field(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without null, which no query can say."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "title")}
    if rest.get("default", 0) is None:
        del rest["default"]
    if not choices:
        return rest
    return {**rest, **choices[0]} if len(choices) == 1 else {**rest, "anyOf": choices}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _json(description: str, schema: Any, example: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}}
    return {"200": {"description": description, "content": content}}


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {
            "description": _ERRORS[status][0],
            "content": {"application/json": {"schema": _ERROR, "example": {"error": _ERRORS[status][1]}}},
        }
        for status in statuses
    }
