"""Files, folders and patterns on a command line -> which file goes where."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from paddle_restore.data.files import list_files
from paddle_restore.data.formats import DEFAULT, format_of_name, is_picture
from paddle_restore.errors import UserError


@dataclass(frozen=True)
class Item:
    """A file, and where its picture goes."""

    path: Path
    written: Path


def find_items(
    inputs: Sequence[Path],
    wanted: Callable[[Path], bool],
    what: str,
    output: Path,
    format: Optional[str] = None,
) -> list[Item]:
    """List the files of `inputs` (files, folders, patterns such as "in/**/*.dng") and their outputs.

    `output` is a folder, below which the places within a folder or pattern are kept, or the picture's
    own name where there is a single file. Of folders and patterns only the `wanted` files count.
    Raises UserError where nothing is found, or two files would be written to one name.
    """
    places: dict[Path, Path] = {}
    for given in inputs:
        for path, place in _expand(given, wanted, what):
            places.setdefault(path, place)
    if is_picture(output) and not output.is_dir():
        if len(places) > 1 or inputs[0].is_dir():
            raise UserError(f"{output}: is the name of one picture, but there are more; name a folder")
        return [Item(path, output) for path in places]
    written: dict[Path, Path] = {}
    for path, place in places.items():
        own = format_of_name(path)
        suffix = f".{format}" if format else path.suffix if own and own.write else f".{DEFAULT}"
        written[path] = output / place.with_suffix(suffix)
    taken = Counter(written.values())
    for path, name in written.items():
        if taken[name] > 1:  # files that differ in their suffix alone keep it in the name
            written[path] = name.with_name(f"{path.name}{name.suffix}")
    twice = [name for name, count in Counter(written.values()).items() if count > 1]
    if twice:
        raise UserError(f"{twice[0]}: two files would be written there; restore them into two folders")
    return [Item(path, name) for path, name in written.items()]


def _expand(given: Path, wanted: Callable[[Path], bool], what: str) -> list[tuple[Path, Path]]:
    """Return the files behind one argument, each with its place below the output."""
    if given.exists() or not glob.has_magic(str(given)):
        return [(path, Path(path.name)) for path in list_files(given, wanted, what)]
    found = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]
    files = [path for path in found if path.is_file() and wanted(path)]
    if not files:
        raise UserError(f"{given}: the pattern finds no {what}")
    fixed = list(given.parts[:-1])
    while fixed and any(glob.has_magic(part) for part in fixed):
        fixed.pop()
    base = Path(*fixed) if fixed else Path()
    return [(path, path.relative_to(base)) for path in files]
