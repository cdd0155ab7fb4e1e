"""Checking a SID data set, and filling the cache of its decoded frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Optional, Union

from tqdm import tqdm

from paddle_restore.data.cache import CachedFrames
from paddle_restore.data.files import is_file
from paddle_restore.data.matching import SIDPair, parse_list, parse_name, size_text
from paddle_restore.data.parallel import each
from paddle_restore.data.raw import read_raw
from paddle_restore.errors import UserError


def find_lists(root: Path, pattern: str) -> list[Path]:
    """Return the lists below `root`, in order of name. Raises UserError if there are none."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    names = sorted(path.relative_to(root) for path in root.glob(pattern))
    if not names:
        raise UserError(f"{root}: holds no {pattern}; the lists must be next to the folders Sony and Fuji")
    return names


@dataclass
class Survey:
    """The pairs of one list, and its errors, a line each."""

    name: Path
    pairs: list[SIDPair]
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)

    @property
    def scenes(self) -> set[str]:
        return {pair.scene for pair in self.pairs}

    @property
    def files(self) -> list[Path]:
        return sorted({file for pair in self.pairs for file in (pair.short, pair.long)})

    @property
    def absent(self) -> list[str]:
        """Scenes of the list without any complete pair."""
        complete = {pair.scene for pair in self.pairs if is_file(pair.short) and is_file(pair.long)}
        return sorted(self.scenes - complete)

    @property
    def errors(self) -> list[str]:
        return self.missing + self.unreadable + self.sizes

    def row(self) -> dict[str, object]:
        """Return a row of the report by its columns."""
        return {
            "list": self.name,
            "pairs": len(self.pairs),
            "scenes": len(self.scenes),
            "files": len(self.files),
            "missing": len(self.missing),
            "unreadable": len(self.unreadable),
            "wrong size": len(self.sizes),
            "scenes without files": ", ".join(self.absent[:5]) + (", ..." if len(self.absent) > 5 else ""),
        }


def survey(root: Path, name: Path, workers: int) -> Survey:
    """Decode every file of a list and compare the sizes of each pair."""
    found = Survey(name, [pair for _, pair in parse_list(root, name)])
    found.missing = [f"{file}: on {name}, but not there" for file in found.files if not is_file(file)]
    existing = [file for file in found.files if is_file(file)]
    shapes: dict[Path, tuple[int, ...]] = {}
    results = each(existing, _shape, workers)
    for file, result in tqdm(results, total=len(existing), desc=str(name)):
        if isinstance(result, str):
            found.unreadable.append(result)
        else:
            shapes[file] = result
    for pair in found.pairs:
        short, long = shapes.get(pair.short), shapes.get(pair.long)
        if short and long and short != long:
            found.sizes.append(f"{pair.short}: {size_text(short)}, but {pair.long.name} is {size_text(long)}")
    return found


def frames_of(root: Path, names: Iterable[Path], burst: str) -> list[tuple[Path, str]]:
    """Return the frames that training on the lists reads: (file, `.mosaic` or `.target`)."""
    frames: set[tuple[Path, str]] = set()
    for name in names:
        for number, pair in parse_list(root, name):
            if burst == "first" and parse_name(pair.short)["frame"] != "00":
                continue
            for file in (pair.short, pair.long):
                if not is_file(file):
                    raise UserError(f"{root / name}:{number}: names {file}, which does not exist")
            frames |= {(pair.short, ".mosaic"), (pair.long, ".target")}
    return sorted(frames)


def fill(cache: CachedFrames, frames: Sequence[tuple[Path, str]], workers: int) -> Iterator[Optional[str]]:
    """Decode the frames that the cache lacks; yield for each frame None, or a line if it is unreadable.

    Raises UserError if the cache cannot be written.
    """
    for _, result in each(frames, partial(_fill, cache), workers):
        yield result


def _shape(path: Path) -> Union[tuple[int, ...], str]:
    try:
        return read_raw(path).mosaic.shape
    except UserError as error:
        return str(error)


def _fill(cache: CachedFrames, frame: tuple[Path, str]) -> Optional[str]:
    if cache.find(*frame):
        return None
    try:
        decoded = cache.decode(*frame)
    except UserError as error:
        return str(error)
    cache.write(*frame, decoded)
    return None
