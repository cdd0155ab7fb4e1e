"""Answers and bodies in FastAPI's OpenAPI document, with real error lines of the service as examples."""

from __future__ import annotations

from typing import Any, Union

from pydantic import BaseModel

from paddle_restore.data.formats import output_titles
from paddle_restore.serving.parameters import PreviewParameters
from paddle_restore.serving.settings import TOKEN, Settings
from paddle_restore.serving.upload import too_large, too_slow

Responses = dict[Union[int, str], dict[str, Any]]

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
PROMETHEUS_TEXT: Responses = {200: {"content": {PROMETHEUS: {"schema": {"type": "string"}}}}}
DESCRIPTION = f"""Restores dark raw photographs and noisy pictures.

`curl --fail -F file=@noisy.jpg -F format=png http://127.0.0.1:8080/v1/restore -o clean.png`

Where the service has a token ({TOKEN}), requests carry it: `Authorization: Bearer TOKEN`."""

_FILE = {"type": "string", "format": "binary", "description": "a picture or a camera's raw file"}


class Error(BaseModel):
    error: str


class State(BaseModel):
    status: str


def errors(settings: Settings, *statuses: int) -> Responses:
    """The declared responses of these statuses, each with a line as an example."""
    known = {
        400: ("The request cannot be understood", "the multipart body is cut short"),
        401: ("The token is missing or wrong", "this service needs its token: Authorization: Bearer TOKEN"),
        403: (
            "Sent by another site's page, or to a foreign name of this machine",
            "requests from other sites' pages are refused",
        ),
        404: (
            "No such model or request",
            "model: there is none of that name; choose from: mirnet_v2",
        ),
        408: ("The body came too slowly", too_slow(settings).message),
        413: ("Too many bytes or pixels, or more time than a request may take", too_large(settings).message),
        415: (
            "A file of another kind than the model's",
            f"night.dng: is a raw file, and mirnet_v2 restores pictures ({output_titles()})",
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
            "Starting, shutting down, too many connections, or no room, time or memory for this file",
            "the service is shutting down; try again later",
        ),
    }
    return {status: _error(*known[status]) for status in statuses}


def _error(description: str, line: str) -> dict[str, Any]:
    content = {"application/json": {"example": {"error": line}}}
    return {"model": Error, "description": description, "content": content}


def picture(*media_types: str) -> Responses:
    """The declared picture of status 200, in one of several formats."""
    number, word = {"type": "number"}, {"type": "string"}
    headers = {
        "X-Seconds": {"description": "time of reading, restoring and writing", "schema": number},
        "X-Ratio": {"description": "amplification that was used (raw files)", "schema": number},
        "X-Strength": {"description": "strength that was used (models that have one)", "schema": number},
        "X-Model": {"description": "name of the model", "schema": word},
        "X-Model-Version": {"description": "changes with the model's files", "schema": word},
    }
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {200: {"description": "The picture", "headers": headers, "content": content}}


def upload_body(parameters: type[PreviewParameters], model: str) -> dict[str, Any]:
    """The request body, which FastAPI does not see: `upload.py` reads it. `model`: an example of a name."""
    fields = parameters.model_json_schema()["properties"]
    fields["model"]["examples"] = [model]
    form = {"type": "object", "properties": {"file": _FILE, **fields}, "required": ["file"]}
    content = {
        "multipart/form-data": {"schema": form},
        "application/octet-stream": {"schema": _FILE},
    }
    return {"requestBody": {"required": True, "content": content}}
