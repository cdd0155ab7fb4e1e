"""The models that a service has, as its clients see them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Optional

from pydantic import BaseModel

from paddle_restore.data.formats import RAW_SUFFIXES, suffixes
from paddle_restore.errors import UserError
from paddle_restore.inference.forward import MAX_STRENGTH, Forward
from paddle_restore.inference.package import FILE, Package, read_package
from paddle_restore.serving.problem import Problem
from paddle_restore.shipped import PICTURES, RAW


class ModelDescription(BaseModel):
    """A model in the answer of /v1/models.

    version       the first 12 hexadecimal digits of the SHA-256 of the folder's files
    suffixes      of the files that the model takes
    parameters    their number, where the folder says it
    max_strength  the largest strength of a request; null: the model has no strength
    """

    name: str
    version: str
    input: Literal["raw", "picture"]
    suffixes: list[str]
    licence: str
    paper: str
    repository: str
    spec: dict[str, Any]
    preprocess: dict[str, Any]
    parameters: Optional[int]
    max_strength: Optional[float]


class Limits(BaseModel):
    """Limits of a request: bytes, pixels of its file, seconds."""

    bytes: int
    pixels: int
    seconds: float


class ModelList(BaseModel):
    """The answer of /v1/models."""

    models: list[ModelDescription]
    limits: Limits


class Catalogue:
    """The models by name. Raises UserError for folders that are not complete, and for two of one name."""

    def __init__(self, folders: Sequence[Path]):
        self.models: dict[str, ModelDescription] = {}
        for given in folders:
            name, folder, package = find_model(given)
            if name in self.models:
                raise UserError(
                    f"{folder}: is the second model with the name {name!r}; give it another one, by which "
                    f"clients choose: --model_dir NAME={folder}"
                )
            self.models[name] = _describe(name, folder, package)

    def choose(self, name: Optional[str], suffix: str = "") -> ModelDescription:
        """Return the model of that name.

        Without one, return the only model, or the package's own for files of this suffix. Raises Problem.
        """
        if name is None:
            own = (self.models[one] for one in (PICTURES, RAW) if one in self.models)
            fitting = [one for one in own if suffix in one.suffixes]
            if len(self.models) == 1 or fitting:
                return (fitting or list(self.models.values()))[0]
        names = ", ".join(self.models)
        if name is None:
            raise Problem(422, f"model: several are served, name one of them: {names}")
        if name not in self.models:
            raise Problem(404, f"model: there is none of that name; choose from: {names}")
        return self.models[name]


def find_model(given: Path) -> tuple[str, Path, Package]:
    """Return the name, the folder and the package that `DIR` or `NAME=DIR` means. Raises UserError.

    Without a NAME it is the package's own. A folder whose name has an equals sign is a folder.
    """
    name, separator, folder = str(given).partition("=")
    if not separator or given.is_dir():
        package = read_package(given)
        return package.name, given, package
    if not re.fullmatch(r"[\w.-]{1,100}", name):
        raise UserError(f"--model_dir {given}: the name before = has 1 to 100 letters, digits, _, . or -")
    return name, Path(folder), read_package(folder)


def _describe(name: str, folder: Path, package: Package) -> ModelDescription:
    spec = package.model_spec
    return ModelDescription(
        name=name,
        version=_version(folder, package),
        input="raw" if spec.raw else "picture",
        suffixes=sorted(RAW_SUFFIXES) if spec.raw else suffixes(),
        licence=spec.licence,
        paper=spec.paper,
        repository=spec.repository,
        spec=spec.to_dict(),
        preprocess=package.preprocess.model_dump(mode="json"),
        parameters=package.cost.parameters if package.cost else None,
        max_strength=MAX_STRENGTH if Forward.has_strength(spec) else None,
    )


def _version(folder: Path, package: Package) -> str:
    digest = hashlib.sha256()
    for name in sorted((FILE, *package.graph.files)):
        with (folder / name).open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:12]
