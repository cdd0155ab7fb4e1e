"""Files, folders and patterns -> which file is restored, and where its picture goes."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from paddle_restore.data.files import list_files
from paddle_restore.data.formats import DEFAULT, format_of_name, is_picture, is_raw
from paddle_restore.errors import UserError
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.restorer import Restored


@dataclass(frozen=True)
class FileOptions:
    """Which files are restored, and what is written.

    input     files, folders or patterns
    output    folder, or the name of the only picture
    format    suffix of the pictures; the input's own unless given, and png for raw files
    depth     8 or 16 bits; the input's own unless given, and 16 for raw files
    metadata  "keep" writes the input's colour profile and EXIF along, "none" does not
    target    reference picture or raw file, or a folder of them
    ratio     amplification of raw files; None takes the exposure times, or an estimate
    summary   file that gets a line of JSON for every input
    compare   picture that shows inputs and restored pictures side by side
    debug     print the traceback of an error that is not the user's
    """

    input: Sequence[Path]
    output: Path
    format: Optional[str] = None
    depth: Optional[int] = None
    metadata: str = "keep"
    target: Optional[Path] = None
    ratio: Optional[float] = None
    skip_existing: bool = False
    summary: Optional[Path] = None
    compare: Optional[Path] = None
    debug: bool = False


@dataclass
class FileTask:
    """One file on its way through reading, restoring and writing.

    input     while the network needs it
    restored  from the network's run until it is written
    ratio     amplification of a raw file
    error     what went wrong with this file
    scores    metrics by name, where there is a reference
    seconds   that the three steps took
    """

    path: Path
    output: Path
    input: Optional[NetworkInput] = None
    restored: Optional[Restored] = None
    ratio: Optional[float] = None
    error: Optional[UserError] = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def find_tasks(options: FileOptions, raw: bool) -> list[FileTask]:
    """Return the files of `options.input` (files, folders, patterns such as "in/**/*.dng") and their outputs.

    The output folder gets the sub-folders of a pattern too. Of folders and patterns only raw files count
    where `raw` is true, and only pictures otherwise.
    Raises UserError where nothing is found, or two files would be written to one name.
    """
    output, format = options.output, options.format
    places: dict[Path, Path] = {}
    for given in options.input:
        for path, place in _expand(given, raw):
            places.setdefault(path, place)
    if is_picture(output) and not output.is_dir():
        if len(places) > 1 or options.input[0].is_dir():
            raise UserError(f"{output}: is the name of one picture, but there are more; name a folder")
        return [FileTask(path, output) for path in places]
    outputs: dict[Path, Path] = {}
    for path, place in places.items():
        own = format_of_name(path)
        suffix = f".{format}" if format else path.suffix if own and own.write else f".{DEFAULT}"
        outputs[path] = output / place.with_suffix(suffix)
    count = Counter(outputs.values())
    for path, name in outputs.items():
        if count[name] > 1:  # files that differ in their suffix only keep it in the name
            outputs[path] = name.with_name(f"{path.name}{name.suffix}")
    for name, number in Counter(outputs.values()).items():
        if number > 1:
            raise UserError(f"{name}: two files would be written there; restore them into two folders")
    return [FileTask(path, name) for path, name in outputs.items()]


def _expand(given: Path, raw: bool) -> list[tuple[Path, Path]]:
    """Return the files of one argument, each with its place below the output."""
    wanted, kind = (is_raw, "raw files") if raw else (is_picture, "pictures")
    if given.exists() or not glob.has_magic(str(given)):
        return [(path, Path(path.name)) for path in list_files(given, wanted, kind)]
    found = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]
    files = [path for path in found if path.is_file() and wanted(path)]
    if not files:
        raise UserError(f"{given}: the pattern finds no {kind}")
    fixed = list(given.parts[:-1])
    while fixed and any(glob.has_magic(part) for part in fixed):
        fixed.pop()
    base = Path(*fixed) if fixed else Path()
    return [(path, path.relative_to(base)) for path in files]
