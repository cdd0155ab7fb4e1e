"""What goes from a picture or raw file into its restored picture: colour profile, EXIF, resolution.

What belongs to the old file alone stays behind: its orientation (the pixels are turned), thumbnail,
maker's note (its offsets are into the old file), XMP and IPTC (editing state, parts that follow the
JPEG), and whatever describes the old pixels' storage.

Pillow reads and writes the directories of tags. Not its `Image.Exif`, which guesses the types of
values anew and makes question marks of all but ASCII ("© Jörg"): `ImageFileDirectory_v2` keeps both.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Optional

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import IFDRational
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.quiet import quiet_libraries

MAIN, EXIF, GPS, ICC, ORIENTATION = 0, 34665, 34853, 34675, 274

# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Rating, RatingPercent,
# Copyright and what Windows writes (XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject).
_ABOUT = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096))
_ACROSS, _DOWN, UNIT = 282, 283, 296
_MAKERS_NOTE, _INTEROPERABILITY, _COLOUR_SPACE, _WIDTH, _HEIGHT = 37500, 40965, 40961, 40962, 40963
_ELSEWHERE = {EXIF, GPS, _MAKERS_NOTE, _INTEROPERABILITY}
_ASCII = 2

_ICC_LARGEST = 1 << 22
_BLOCK_LARGEST = 1 << 16
_MOST = 1 << 26

Directories = dict[int, Directory]
"""The directories of a TIFF, raw file or EXIF block: MAIN, and EXIF and GPS where it has them."""


class _Bounded(io.FileIO):
    """A file that gives 64 MiB at most: hostile tags point to the same megabytes by the thousand."""

    _left = _MOST

    def read(self, size: int = -1) -> bytes:
        self._left -= size if size >= 0 else _MOST
        if self._left < 0:
            raise OSError("too many tags")
        return super().read(size)


@quiet_libraries()
def read_directories(file: BinaryIO) -> Directories:
    """Read the directories of an open TIFF file or EXIF block; none of what is broken or another thing."""
    head = file.read(16)
    # Olympus and Panasonic have numbers of their own in place of 42, and Pillow misses "MM\0+".
    big = head[2:4] in (b"+\0", b"\0+")
    form = (b"II+\0" + head[4:]) if big else (b"II*\0" + head[4:8])

    def load(name: int, place: int) -> Directory:
        directory = found[name] = Directory(form, prefix=head[:2], group=name or None)
        file.seek(place)
        directory.load(file)
        return directory

    found: Directories = {}
    try:
        main = load(MAIN, Directory(form, prefix=head[:2]).next)
        for name in (EXIF, GPS):
            if isinstance(main.get(name), int):
                load(name, main[name])
    except Exception:  # whatever Pillow makes of hostile bytes
        return {}
    return found


def _copied(directory: Directory, names: Iterable[int]) -> Directory:
    """The tags of these names, with their types, as a directory that can be written."""
    copy = Directory(group=directory.group)
    for name in names:
        if name in directory:
            value, kind = directory[name], directory.tagtype[name]
            copy.tagtype[name] = kind
            copy[name] = (
                value.encode("latin-1", "replace") if kind == _ASCII and isinstance(value, str) else value
            )
    return copy


def pack_block(directories: Directories) -> bytes:
    """Return an EXIF block, a TIFF without a picture; b"" where there is nothing to say."""
    if not any(directories.values()):
        return b""
    main = directories[MAIN]
    below = {name: directory for name, directory in directories.items() if name != MAIN and directory}
    main.update(dict.fromkeys(below, 0))
    place, parts = 8 + len(main.tobytes(8)), []
    for name, directory in below.items():
        main[name] = place
        parts.append(directory.tobytes(place))
        place += len(parts[-1])
    return b"".join([b"II*\0\x08\0\0\0", main.tobytes(8), *parts])


@dataclass(frozen=True)
class Metadata:
    """exif: a TIFF block of the tags worth keeping; icc: the profile; dpi: across and down, or None."""

    exif: bytes = b""
    icc: bytes = b""
    dpi: Optional[tuple[float, float]] = None

    @classmethod
    def of(cls, directories: Directories, icc: bytes = b"", dpi: Optional[tuple] = None) -> Metadata:
        dpi = tuple(map(float, dpi or _said_resolution(directories.get(MAIN, {})) or ()))
        return cls(
            _kept(directories),
            icc if len(icc) <= _ICC_LARGEST else b"",
            dpi if len(dpi) == 2 and all(0 < x < 1e6 for x in dpi) else None,
        )

    def directories(self, height: int, width: int) -> Directories:
        """The tags of an upright picture of that size; none where there is nothing to say."""
        found = read_block(self.exif)
        if not found:
            return {}
        kept = {name: _copied(directory, set(directory) - _ELSEWHERE) for name, directory in found.items()}
        below = kept.setdefault(EXIF, Directory(group=EXIF))
        kept[MAIN][ORIENTATION] = 1
        below[_WIDTH], below[_HEIGHT] = width, height
        if self.dpi:
            across, down = (IFDRational(round(value * 1000), 1000) for value in self.dpi)
            kept[MAIN].update({_ACROSS: across, _DOWN: down, UNIT: 2})
        return kept

    def exif_block(self, image: np.ndarray) -> bytes:
        """Return the EXIF block of an upright (H, W) or (H, W, C) picture, b"" for none."""
        return pack_block(self.directories(*image.shape[:2]))

    def profile(self, image: np.ndarray) -> bytes:
        """Return the ICC profile if it is one for the picture's channels, else b""."""
        return self.icc if self.icc[16:20] == (b"GRAY" if image.ndim == 2 else b"RGB ") else b""


NO_METADATA = Metadata()


def read_block(block: bytes) -> Directories:
    """Read an EXIF block; one that is broken, missing or above 64 KiB has no tags."""
    block = block[6:] if block.startswith(b"Exif\0\0") else block
    return read_directories(io.BytesIO(block)) if len(block) <= _BLOCK_LARGEST else {}


def read_file_tags(path: str | Path) -> Directories:
    """Read the directories of a TIFF or raw file."""
    with _Bounded(path) as file:
        return read_directories(file)


def _kept(directories: Directories) -> bytes:
    return pack_block(
        {
            name: _copied(directory, _ABOUT if name == MAIN else set(directory) - _ELSEWHERE)
            for name, directory in directories.items()
        }
    )


def _said_resolution(main: Directory) -> Optional[tuple[float, float]]:
    """Return the dots per inch, across and down, that EXIF or TIFF tags say."""
    across, down = main.get(_ACROSS), main.get(_DOWN)
    scale = {2: 1.0, 3: 2.54}.get(main.get(UNIT, 2))
    if not (scale and isinstance(across, IFDRational) and isinstance(down, IFDRational)):
        return None
    return across * scale, down * scale


@quiet_libraries()
def raw_metadata(path: str | Path) -> Metadata:
    """Read make, model, exposure, date, lens and place from a raw file; empty where it hides them.

    DNG, ARW, NEF, CR2, PEF, ORF, RW2 and their like are TIFF files; RAF holds a JPEG that has EXIF.
    The picture that is made of it is sRGB, whatever colours the camera's own JPEG had.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(88)
            if start.startswith(b"FUJIFILM"):
                file.seek(int.from_bytes(start[84:88], "big"))
                inside = JpegImageFile(io.BytesIO(file.read(1 << 20)))
                found = read_block(inside.info.get("exif", b""))
            else:
                found = read_file_tags(path)
        if EXIF in found:
            found[EXIF][_COLOUR_SPACE] = 1
        return Metadata(_kept(found))
    except (OSError, ValueError, SyntaxError, struct.error):
        return NO_METADATA
