"""The exported folders of a service, as its clients see them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from paddle_restore.data.formats import RAW_SUFFIXES, suffixes
from paddle_restore.errors import UserError
from paddle_restore.inference.package import FILE, Package, read_package
from paddle_restore.models.spec import ModelSpec
from paddle_restore.serving.problem import Problem


@dataclass(frozen=True)
class Model:
    """version: the first 12 hexadecimal digits of the SHA-256 of the folder's files."""

    package: Package
    spec: ModelSpec
    version: str

    @property
    def name(self) -> str:
        return self.package.name

    def described(self) -> dict[str, Any]:
        spec = self.spec.to_dict()
        return {
            "name": self.name,
            "version": self.version,
            "input": "raw" if self.spec.raw else "picture",
            "suffixes": sorted(RAW_SUFFIXES) if self.spec.raw else suffixes(),
            "licence": self.spec.licence,
            "paper": self.spec.paper,
            "repository": self.spec.repository,
            "spec": spec,
            "preprocess": self.package.preprocess.model_dump(mode="json"),
            "parameters": self.package.cost.parameters if self.package.cost else None,
        }


class Catalogue:
    """The models by name. Raises UserError for folders that are not whole, or of one name."""

    def __init__(self, folders: Sequence[Path]):
        self.models: dict[str, Model] = {}
        for folder in folders:
            package = read_package(folder)
            if package.name in self.models:
                raise UserError(
                    f"{folder}: is the second model with the name {package.name!r}; "
                    f"change `name` in its {FILE}, by which clients choose"
                )
            self.models[package.name] = Model(package, package.model_spec, _version(folder, package))

    def choose(self, name: Optional[str]) -> Model:
        """Return the model of that name, or the only one. Raises Problem."""
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        names = ", ".join(self.models)
        if name is None:
            raise Problem(422, f"model: several are served, name one of them: {names}")
        if name not in self.models:
            raise Problem(404, f"model: there is none of that name; choose from: {names}")
        return self.models[name]


def _version(folder: Path, package: Package) -> str:
    digest = hashlib.sha256()
    for name in sorted((FILE, *package.graph.files)):
        with (folder / name).open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()[:12]
