"""Picture formats: how a file is recognised, what it can hold, how it is read and written.

A module of this folder, or of the entry point group `paddle_restore.data.formats`, adds one `Format` by
`add_format`. Reading, writing, the commands and the service all ask here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Optional, Protocol

import numpy as np

from paddle_restore.data.metadata import Metadata
from paddle_restore.registry import Registry

DEFAULT = "png"
"""Name of the format that restored raw files are written in."""

START = 64
"""Bytes at the beginning of a file that tell its format."""

RAW_SUFFIXES = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Suffixes by which camera raw files of a folder are chosen."""


class NotSupported(Exception):
    """A picture of a kind that is not read. The message continues the file's name."""


class CannotHold(Exception):
    """The format cannot hold such a picture."""


class OpenPicture(Protocol):
    """A picture file whose header was read. All members may raise any exception if the file is broken.

    It may have a list `notes` of what its user has to know after `decode`, each continuing the file's name,
    such as "has a gain map, which is left out".
    """

    @property
    def size(self) -> tuple[int, int]:
        """Stored (height, width), before `orientation` is applied."""
        ...

    @property
    def orientation(self) -> int:
        """EXIF's orientation, 1 to 8."""
        ...

    @property
    def metadata(self) -> Metadata: ...

    def decode(self) -> np.ndarray:
        """Return the stored pixels: (H, W), (H, W, 2) grey with opacity, (H, W, 3) RGB or (H, W, 4) RGBA,
        uint8 or uint16.

        Raises NotSupported.
        """
        ...


Writer = Callable[[BinaryIO, np.ndarray, Metadata, Optional[int]], None]
"""Writes (file, image, metadata, quality): an (H, W), (H, W, 3) or, in a format with alpha, (H, W, 2) or
(H, W, 4) image of uint8, or uint16 in a format with 16 bits. `quality` is 1 to 100 or None. Raises
CannotHold."""


@dataclass(frozen=True)
class Format:
    """One picture format.

    title          of the format in messages
    suffixes       that file names have, in lower case; the first one gives the format its `name`
    mime           media type
    magic          regular expression that the first START bytes match
    open           reads the header. Raises NotSupported, or any exception if the file is broken
    write          None if the format is only read
    selections     holds a saved selection beside the colours
    instead        name of the format for restored pictures where this one is only read
    depths         bits per channel
    alpha          holds an opacity channel
    offered        commands and the service offer it by name; otherwise only an output's name can ask for it
    raw_container  camera raw files begin in the same way, so only the name tells them apart
    """

    title: str
    suffixes: tuple[str, ...]
    mime: str
    magic: bytes
    open: Callable[[BinaryIO], OpenPicture]
    write: Optional[Writer]
    depths: tuple[int, ...] = (8,)
    alpha: bool = False
    selections: bool = False
    instead: str = DEFAULT
    offered: bool = True
    raw_container: bool = False

    @property
    def name(self) -> str:
        """Name of the format in options, such as "jpg": the first suffix without its dot."""
        return self.suffixes[0][1:]

    def nearest_depth(self, depth: int) -> int:
        """Return `depth` if the format has it, else the depth that it has."""
        return depth if depth in self.depths else self.depths[0]


FORMATS: Registry[Format] = Registry("picture format", "paddle_restore.data.formats")


def add_format(one: Format) -> None:
    """Add a format to `FORMATS` under its name."""
    FORMATS.add(one.name, one)


def all_formats() -> list[Format]:
    """Return every format in the order in which messages list them."""
    return sorted(FORMATS.values(), key=lambda one: (not one.offered, one.name != DEFAULT, one.title))


def output_formats() -> list[Format]:
    """Return the formats that commands and the service offer for restored pictures."""
    return [one for one in all_formats() if one.offered and one.write]


def format_of_bytes(start: bytes) -> Optional[Format]:
    """Return the format of a file that begins with `start`, None for other files.

    A camera raw file can come out as a format with `raw_container`.
    """
    return next((one for one in all_formats() if re.match(one.magic, start, re.DOTALL)), None)


def format_of_name(path: Path) -> Optional[Format]:
    """Return the format that a file's name ends in, None for other names."""
    return next((one for one in all_formats() if path.suffix.lower() in one.suffixes), None)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its name."""
    return format_of_name(path) is not None


def is_raw(path: Path) -> bool:
    """Whether a file is a camera's raw file by its name."""
    return path.suffix.lower() in RAW_SUFFIXES


def suffixes() -> list[str]:
    """Return the suffixes of all formats, sorted."""
    return sorted(suffix for one in FORMATS.values() for suffix in one.suffixes)


def titles(formats: Iterable[Format]) -> str:
    """Return the titles of several formats, such as "PNG, JPEG or TIFF"."""
    *first, last = [one.title for one in formats]
    return f"{', '.join(first)} or {last}"


def output_titles() -> str:
    """Return the titles of `output_formats`, such as "PNG, JPEG, TIFF, WebP"."""
    return ", ".join(one.title for one in output_formats())
