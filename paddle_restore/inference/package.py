"""The exported folder: graph, weights and `inference.yml`, which holds everything needed to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Optional

import yaml
from pydantic import Field, field_validator, model_validator

from paddle_restore.data.files import atomic_path
from paddle_restore.data.raw_options import RawOptions
from paddle_restore.errors import UserError, line_of
from paddle_restore.metrics.cost import Cost
from paddle_restore.models.spec import ModelSpec
from paddle_restore.options import Options, validate
from paddle_restore.yaml_file import read_yaml

FILE = "inference.yml"
STEM = "model"

GRAPHS = {"paddle": ("paddle",), "onnx": ("onnx",), "all": ("paddle", "onnx")}
"""The formats of an export, and the graphs that each writes."""

METRICS = ("psnr", "ssim_rgb_matlab")
"""Protocols by which files are compared with references where nothing else is said."""

# Unused keys of earlier versions, with the only value that each could have.
_FORMER = {("preprocess", "padding"): "reflect", ("postprocess", "clip"): [0, 1]}


class Preprocess(RawOptions):
    """How a raw file becomes the network's input: a recipe's options, as the network was trained."""


class Graph(Options):
    """The files that hold the network, in the same folder, and the names of its inputs."""

    program: Optional[str] = Field(None, description="model.json, or model.pdmodel of older Paddle")
    parameters: Optional[str] = Field(None, description="the program's weights")
    onnx: Optional[str] = Field(None, description="model.onnx, which holds its weights")
    inputs: tuple[str, ...] = Field(("input",), description="input, and noise unless the graph draws it")

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.program, self.parameters, self.onnx) if name is not None)

    @field_validator("program", "parameters", "onnx")
    @classmethod
    def _beside(cls, name: Optional[str]) -> Optional[str]:
        if name is not None and (Path(name).name != name or name == ".."):
            raise ValueError("must be a file of the same folder")
        return name

    @model_validator(mode="after")
    def _whole(self) -> Graph:
        if (self.program is None) != (self.parameters is None) or not self.files:
            raise ValueError("needs program and parameters, or onnx")
        return self


class Check(Options):
    """A comparison of the exported graph with the network's own code."""

    graph: Literal["paddle", "onnx"] = "paddle"
    input_shape: tuple[int, ...]
    max_difference: float


class Package(Options):
    """`inference.yml`."""

    format: Literal[1] = 1
    name: str
    spec: dict[str, Any]
    preprocess: Preprocess = Preprocess()
    metrics: tuple[str, ...] = Field(
        METRICS, max_length=20, description="the recipe's metrics, for references given with --target"
    )
    graph: Graph
    checks: tuple[Check, ...] = ()
    cost: Optional[Cost] = Field(None, description="parameters and operations, counted at export")
    paddle: str = Field("", description="version that exported it")

    @property
    def model_spec(self) -> ModelSpec:
        return ModelSpec.from_dict(self.spec)

    def write(self, folder: Path) -> None:
        with atomic_path(folder / FILE) as temporary:
            text = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            temporary.write_text(text, encoding="utf-8")


def read_package(folder: str | Path) -> Package:
    """Read an exported folder's `inference.yml`. Raises UserError for one that is not whole."""
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            f"{folder}: is not an exported model (it has no {FILE}); make one with export_model.py"
        )
    try:
        values = read_yaml(path)
        package = validate(Package, _without_former_keys(values, path), path)
        package.model_spec  # noqa: B018  raises for an inconsistent spec
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: is broken ({line_of(error)})") from None
    for name in package.graph.files:
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            raise UserError(f"{folder / name}: is missing or empty; export the model again")
    return package


def _without_former_keys(values: Any, path: Path) -> Any:
    if not isinstance(values, dict):
        return values
    values = {key: dict(part) if isinstance(part, dict) else part for key, part in values.items()}
    for (group, key), value in _FORMER.items():
        part = values.get(group)
        if isinstance(part, dict) and key in part and part.pop(key) != value:
            raise UserError(f"{path}: {group}.{key}: must be {value!r}, or left out")
    if values.get("postprocess") == {}:
        del values["postprocess"]
    return values
