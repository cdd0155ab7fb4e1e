"""Files, folders and patterns -> which file is restored, and where its picture goes."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from paddle_restore.data.files import list_files, visible_files
from paddle_restore.data.formats import DEFAULT, format_of_name, is_picture, is_raw, output_formats
from paddle_restore.data.image import output_format
from paddle_restore.data.other_files import is_other_picture, why_skipped
from paddle_restore.data.raw import has_mosaic
from paddle_restore.errors import UserError, listed
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.restored import DNG, SRGB, Restored, RestoredRaw


@dataclass(frozen=True)
class FileOptions:
    """Which files are restored, and what is written.

    input     files, folders or patterns
    output    folder, or the name of the only picture
    format    suffix of the pictures; the input's own unless given, png for developed raw files and dng for
              denoised ones
    depth     8 or 16 bits; the input's own unless given, and 16 for raw files
    metadata  "keep" writes the input's colour profile and EXIF along, "none" does not; None is "keep", but
              leaves place and serial number of a DNG out
    colour_space  of developed raw frames, a key of COLOUR_SPACES
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
    metadata: Optional[str] = None
    target: Optional[Path] = None
    ratio: Optional[float] = None
    skip_existing: bool = False
    summary: Optional[Path] = None
    compare: Optional[Path] = None
    colour_space: str = SRGB
    debug: bool = False


@dataclass
class FileTask:
    """One file on its way through reading, restoring and writing.

    input     while the network needs it
    restored  from the network's run until it is written
    ratio     amplification of a raw file
    error     what went wrong with this file
    notes     what its user has to know of the file
    scores    metrics by name, where there is a reference
    seconds   that the three steps took
    """

    path: Path
    output: Path
    input: Optional[NetworkInput] = None
    restored: Union[Restored, RestoredRaw, None] = None
    ratio: Optional[float] = None
    error: Optional[UserError] = None
    notes: Sequence[str] = ()
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Kinds:
    """What a restorer reads, and whether it writes DNG files of the raw files."""

    pictures: bool
    raw: bool = False
    dng: bool = False

    def read(self, path: Path) -> bool:
        return (self.raw and is_raw(path)) or (self.pictures and is_picture(path))

    def __str__(self) -> str:
        names = [name for name, read in (("pictures", self.pictures), ("raw files", self.raw)) if read]
        return " or ".join(names)


def find_tasks(options: FileOptions, kinds: Kinds) -> list[FileTask]:
    """Return the files of `options.input` (files, folders, patterns such as "in/**/*.dng") and their outputs.

    The output folder gets the sub-folders of a pattern too. Of folders and patterns only files of `kinds`
    count.
    Raises UserError where nothing is found, two files would be written to one name, or a name asks for a DNG
    that cannot be made.
    """
    output, format = options.output, options.format
    if format == DNG and not kinds.dng:
        raise UserError(
            "--format dng: this network gives pictures; only one that restores raw frames writes DNG"
        )
    places: dict[Path, Path] = {}
    for given in options.input:
        for path, place in _expand(given, kinds):
            places.setdefault(path, place)
    named_file = is_picture(output) or is_raw(output) or is_other_picture(output)
    if named_file and not output.is_dir():
        _check_name(output, next(iter(places)), kinds)
        if len(places) > 1 or options.input[0].is_dir():
            raise UserError(f"{output}: is the name of one picture, but there are more; name a folder")
        return [FileTask(path, output) for path in places]
    outputs: dict[Path, Path] = {}
    for path, place in places.items():
        outputs[path] = output / place.with_suffix(_suffix(path, format, kinds))
    count = Counter(outputs.values())
    for path, name in outputs.items():
        if count[name] > 1:  # files that differ in their suffix only keep it in the name
            outputs[path] = name.with_name(f"{path.name}{name.suffix}")
    for name, number in Counter(outputs.values()).items():
        if number > 1:
            raise UserError(f"{name}: two files would be written there; restore them into two folders")
    return [FileTask(path, name) for path, name in outputs.items()]


def _suffix(path: Path, format: Optional[str], kinds: Kinds) -> str:
    own = format_of_name(path)
    if kinds.dng and own is None and has_mosaic(path):
        return f".{format or DNG}"
    if format and format != DNG:
        return f".{format}"
    return path.suffix if own and own.write else f".{own.instead if own else DEFAULT}"


def _check_name(output: Path, source: Path, kinds: Kinds) -> None:
    """Raise UserError if `output` is the name of a file that is not written.

    Only a raw file can become a raw file, a DNG, and only by a network that restores raw frames.
    """
    if not is_raw(output):
        output_format(output)
        return
    if not kinds.dng:
        raise UserError(
            f"{output}: this network gives pictures; choose a name that ends in "
            + " or ".join(f".{one.name}" for one in output_formats())
        )
    if output.suffix.lower() != f".{DNG}":
        raise UserError(f"{output}: raw files are written as DNG only; choose a name that ends in .{DNG}")
    if is_picture(source) or not has_mosaic(source):
        what = "is a picture" if is_picture(source) else "is a raw file without a mosaic"
        raise UserError(f"{source}: {what}, and only a mosaic can become a DNG; choose another --output")


def skipped(folder: Path, kinds: Kinds) -> dict[str, list[str]]:
    """Return the names of a folder's files that are not read, by the reason."""
    reasons: dict[str, list[str]] = {}
    for path in visible_files(folder):
        if not kinds.read(path):
            reasons.setdefault(why_skipped(path, str(kinds)), []).append(path.name)
    return reasons


def _expand(given: Path, kinds: Kinds) -> list[tuple[Path, Path]]:
    """Return the files of one argument, each with its place below the output."""
    if given.exists() or not glob.has_magic(str(given)):
        try:
            return [(path, Path(path.name)) for path in list_files(given, kinds.read, str(kinds))]
        except UserError as error:
            reasons = skipped(given, kinds) if given.is_dir() else {}
            others = "; ".join(f"{listed(names)}: {reason}" for reason, names in reasons.items())
            raise UserError(f"{error} ({others})" if others else str(error)) from None
    found = [Path(name) for name in sorted(glob.glob(str(given), recursive=True))]
    files = [path for path in found if path.is_file() and kinds.read(path)]
    if not files:
        raise UserError(f"{given}: the pattern finds no {kinds}")
    fixed = list(given.parts[:-1])
    while fixed and any(glob.has_magic(part) for part in fixed):
        fixed.pop()
    base = Path(*fixed) if fixed else Path()
    return [(path, path.relative_to(base)) for path in files]
