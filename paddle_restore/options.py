"""Base of validated options, such as the sections of a recipe. Each group is defined where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from paddle_restore.errors import UserError, did_you_mean, line_of, shortened

Model = TypeVar("Model", bound=BaseModel)


class Options(BaseModel):
    """Base of every group of options. Unknown keys are errors that name the nearest valid one."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "{key}{hint}",
                        {"key": key, "hint": did_you_mean(key, cls.model_fields)},
                    )
        return values


def validate(options: type[Model], values: Any, source: str | Path, section: str = "") -> Model:
    """Return `options` made from `values`; raise UserError with the first mistake in one line.

    `source` is the file that the values come from and `section` the place in it.
    """
    try:
        return options.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {_describe(error, section)}") from None


def _describe(error: ValidationError, section: str) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(filter(None, [section, *map(str, first["loc"])]))
    if first["type"] == "unknown_key":
        key = ".".join(filter(None, [place, str(first["ctx"]["key"])]))
        return f"unknown key {shortened(key)}{first['ctx']['hint']}"
    if first["type"] == "missing":
        return f"key {place!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    message = line_of(message, 600)
    return f"{place}: {message} (got {shortened(first['input'])})" if place else message
