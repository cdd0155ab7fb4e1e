"""What a request may ask for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import Field, ValidationError, field_validator

from paddle_restore.data.formats import output_formats
from paddle_restore.options import Options
from paddle_restore.serving.problem import Problem

FORMATS = {one.name: one.mime for one in output_formats()}


class PreviewParameters(Options):
    """Parameters of a preview, in the query or in the form's fields."""

    model: Optional[str] = Field(
        None, max_length=100, description="name of a model; may be left away where only one is served"
    )
    ratio: Union[Literal["auto"], Annotated[float, Field(ge=0.01, le=1e5)]] = Field(
        "auto", description="amplification of a raw file, or auto: estimated from the file"
    )


class Parameters(PreviewParameters):
    """Parameters of a restoration, in the query or in the form's fields."""

    tile: Union[Literal["auto"], Annotated[int, Field(ge=16, le=16384)]] = Field(
        "auto", description="side of the pieces that the network gets, in pixels"
    )
    format: Optional[Literal[tuple(FORMATS)]] = Field(  # type: ignore[valid-type]
        None, description="of the answer; default: the input's own, and png for raw files and bitmaps"
    )
    depth: Optional[Literal[8, 16]] = Field(
        None, description="bits; default: the input's own, and 16 for raw files; jpg and webp have 8"
    )
    self_ensemble: Literal["none", "x8"] = Field(
        "none", description="x8: mean over flips, eight times as long"
    )
    metadata: Literal["none", "keep"] = Field(
        "none", description="keep: the input's EXIF (place and camera too); none: only its colour profile"
    )

    @field_validator("depth", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if value in ("8", "16") else value


def parse(kind: type[PreviewParameters], query: list[tuple[str, str]], fields: dict[str, str]) -> Any:
    """Return the parameters of a query and a form together. Raises Problem 422 for what is none."""
    values: dict[str, str] = {}
    for name, value in [*query, *fields.items()]:
        if name in values:
            raise Problem(422, f"{_shown(name)}: is given twice")
        values[name] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = dict.fromkeys(_line(one) for one in error.errors(include_url=False))
        raise Problem(422, "; ".join([*lines][:3])) from None


_WANTED = {
    "model": "a name of at most 100 letters",
    "ratio": "auto or a number from 0.01 to 100000",
    "tile": "auto or a whole number from 16 to 16384",
    "format": " or ".join(", ".join(FORMATS).rsplit(", ", 1)),
    "depth": "8 or 16",
    "self_ensemble": "none or x8",
    "metadata": "none or keep",
}


def _line(error: Any) -> str:
    if error["type"] == "unknown_key":
        return f"{_shown(error['ctx']['key'])}: unknown parameter{error['ctx']['hint']}"
    name = str(error["loc"][0])
    return f"{name}: must be {_WANTED[name]}"


def _shown(name: str) -> str:
    return "".join(c for c in name if c.isprintable())[:40]
