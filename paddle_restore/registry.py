"""Parts that a new file adds: networks, losses, dataset kinds, metrics, backends, picture formats.

Each kind of part has a folder of this package, such as `paddle_restore.models`. A part is a module of that
folder, or a module of another package that names it as an entry point of a group with the folder's name:

    [project.entry-points."paddle_restore.models"]
    my_network = "my_package.my_network"

Modules are found and not listed. They are imported when a part of their kind is first asked for.
"""

from __future__ import annotations

import pkgutil
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TypeVar

from paddle_restore.errors import UserError, did_you_mean, line_of

T = TypeVar("T")


def find_modules(folder: str) -> dict[str, str]:
    """Return the modules of a folder, then those of its entry points: name -> dotted name; none is imported.

    An entry point whose name is taken, by a module of ours or by another package, costs a warning.
    """
    own = pkgutil.iter_modules(import_module(folder).__path__)
    found = {module.name: f"{folder}.{module.name}" for module in own}
    for point in _entry_points(folder):
        module = point.value.partition(":")[0]
        if found.setdefault(point.name, module) != module:
            warnings.warn(
                f"entry point {point.name!r} of {folder}: {module} is left out, because {found[point.name]} "
                "has this name; give the entry point another one",
                stacklevel=2,
            )
    return found


def _entry_points(group: str) -> list[EntryPoint]:
    if sys.version_info >= (3, 10):
        return list(entry_points(group=group))
    return list(entry_points().get(group, ()))


class Registry(Mapping[str, T]):
    """The parts of one kind by name. Modules add theirs while they are imported."""

    def __init__(self, kind: str, folder: str):
        """`kind` is the word for a part in error lines, `folder` the dotted name of the parts' folder."""
        self.kind, self.folder = kind, folder
        self._parts: dict[str, T] = {}
        self._loaded = False
        self._lock = threading.RLock()

    def add(self, name: str, part: T) -> None:
        """Register `part`. Raises ValueError where the name is taken."""
        if name in self._parts:
            raise ValueError(f"there is a {self.kind} {name!r} already")
        self._parts[name] = part

    def find(self, name: str) -> T:
        """Return a part by its name. Raises UserError that names the nearest one."""
        if name not in self:
            raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, self)}")
        return self[name]

    def __getitem__(self, name: str) -> T:
        self._load()
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._parts))

    def __len__(self) -> int:
        self._load()
        return len(self._parts)

    def _load(self) -> None:
        with self._lock:  # another thread waits until all parts are there
            if self._loaded:
                return
            self._loaded = True  # before the imports, which may ask for parts themselves
            for name, module in find_modules(self.folder).items():
                if module.startswith(f"{self.folder}."):
                    import_module(module)
                else:
                    _import_foreign(name, module, self.kind)


def _import_foreign(name: str, module: str, kind: str) -> ModuleType | None:
    """Import another package's module. If it fails, warn instead of failing every command."""
    try:
        return import_module(module)
    except Exception as error:  # another package's module may raise anything
        reason = f"{type(error).__name__}: {line_of(error, 200)}"
        warnings.warn(f"{kind} {name!r}: module {module} cannot be imported ({reason})", stacklevel=2)
        return None
