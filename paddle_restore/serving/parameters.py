"""The parameters of a request, as FastAPI declares and checks them, in the query or in a form's fields.

The form's fields come here as text and not through FastAPI's `Form`: `upload.py` says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Optional, TypeVar, Union

from fastapi import Header, Path
from pydantic import Field, ValidationError
from starlette.datastructures import QueryParams

from paddle_restore.data.formats import output_formats
from paddle_restore.inference.forward import MAX_STRENGTH
from paddle_restore.inference.restored import DNG
from paddle_restore.options import Options
from paddle_restore.serving.problem import Problem

MEDIA_TYPES = {**{one.name: one.mime for one in output_formats()}, DNG: "image/x-adobe-dng"}
_SHALLOW = " and ".join(one.name for one in output_formats() if 16 not in one.depths)

_ID = r"^[A-Za-z0-9-]{8,64}$"
RequestId = Annotated[
    Optional[str], Header(alias="X-Request-Id", pattern=_ID, description="chosen by you, for /v1/progress")
]
ProgressId = Annotated[str, Path(pattern=_ID, description="X-Request-Id of the request")]


class PreviewParameters(Options):
    """Parameters of a preview."""

    model: Optional[str] = Field(
        None,
        max_length=100,
        description="name of a model; may be left out where one is served, or for the package's own",
    )
    ratio: Union[Literal["auto"], Annotated[float, Field(ge=0.01, le=1e5)]] = Field(
        "auto", description="amplification of a raw file, or auto: the exposure that makes it well lit"
    )


class RestoreParameters(PreviewParameters):
    """Parameters of a restoration."""

    strength: float = Field(
        1.0,
        ge=0,
        le=MAX_STRENGTH,
        description="of models that restore pictures or raw frames: 0 changes nothing, 1 is the model's own "
        "result",
    )
    tile: Union[Literal["auto"], Annotated[int, Field(ge=16, le=16384)]] = Field(
        "auto", description="side in pixels of the tiles that the network gets"
    )
    format: Optional[Literal[tuple(MEDIA_TYPES)]] = Field(  # type: ignore[valid-type]
        None,
        description="of the answer; default: the input's own, and png for raw files and bitmaps; "
        "dng: of models that restore raw frames",
    )
    depth: Optional[Annotated[int, Field(ge=8, le=16, multiple_of=8)]] = Field(
        None, description=f"8 or 16 bits; default: the input's own, and 16 for raw files; {_SHALLOW} have 8"
    )
    self_ensemble: Literal["none", "x8"] = Field(
        "none", description="x8: the mean over 8 flips and turns, which takes 8 times as long"
    )
    metadata: Literal["none", "keep"] = Field(
        "none", description="keep: the input's EXIF (position and camera too); none: only its colour profile"
    )


P = TypeVar("P", bound=PreviewParameters)

_WANTED = {
    "X-Request-Id": "8 to 64 letters, digits or hyphens",
    "id": "8 to 64 letters, digits or hyphens",
    "model": "a name of at most 100 letters",
    "ratio": "auto or a number from 0.01 to 100000",
    "strength": f"a number from 0 to {MAX_STRENGTH:g}",
    "tile": "auto or a whole number from 16 to 16384",
    "format": " or ".join(", ".join(MEDIA_TYPES).rsplit(", ", 1)),
    "depth": "8 or 16",
    "self_ensemble": "none or x8",
    "metadata": "none or keep",
}


def check_query(query: QueryParams) -> None:
    """Raise Problem 422 for a parameter that the query has twice: FastAPI would take the last one."""
    for name in query:
        if len(query.getlist(name)) > 1:
            raise Problem(422, f"{_shown(name)}: is given twice")


def with_fields(parameters: P, query: QueryParams, fields: Mapping[str, str]) -> P:
    """Return the parameters of a query together with a form's fields. Raises Problem 422."""
    for name in fields:
        if name in query:
            raise Problem(422, f"{name}: is given twice")
    try:
        return type(parameters).model_validate({**query, **fields})
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)) from None


def invalid(errors: Sequence[Any]) -> Problem:
    """Return what pydantic finds wrong with parameters as one line, of the first three."""
    lines = dict.fromkeys(map(_line, errors))
    return Problem(422, "; ".join([*lines][:3]))


def _line(error: Any) -> str:
    if error["type"] == "unknown_key":
        return f"{_shown(error['ctx']['key'])}: unknown parameter{error['ctx']['hint']}"
    name = next(str(part) for part in error["loc"] if part in _WANTED)
    return f"{name}: must be {_WANTED[name]}"


def _shown(name: str) -> str:
    return "".join(c for c in name if c.isprintable())[:40]
