"""What is copied from a picture or raw file into its restored picture: colours, EXIF, resolution.

Not copied: orientation (the pixels are turned), thumbnail, maker's note (its offsets point into the old
file), XMP and IPTC (editing state, parts that follow the JPEG), and tags that describe how the old pixels
are stored.

Pillow's `ImageFileDirectory_v2` reads and writes the directories of tags. Its `Image.Exif` does not serve:
it guesses the types of values, and turns letters beyond ASCII ("© Jörg") into question marks.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Optional, cast

import numpy as np
from PIL.TiffImagePlugin import IFDRational
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.data.colour_profiles import adobe_rgb
from paddle_restore.quiet import quiet_libraries

MAIN, EXIF, GPS, ICC, ORIENTATION = 0, 34665, 34853, 34675, 274

# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Rating, RatingPercent,
# Copyright and what Windows writes (XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject).
_ABOUT = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096))
_ACROSS, _DOWN, UNIT = 282, 283, 296
_MAKERS_NOTE, _INTEROPERABILITY, _COLOUR_SPACE, _WIDTH, _HEIGHT = 37500, 40965, 40961, 40962, 40963
_SUBDIRECTORIES, _FILE_TYPE, PHOTOMETRIC, COLOUR_FILTER_ARRAY, LINEAR_RAW = 330, 254, 262, 32803, 34892
_SENSORS = (COLOUR_FILTER_ARRAY, LINEAR_RAW)
_NOT_COPIED = {EXIF, GPS, _MAKERS_NOTE, _INTEROPERABILITY}
_INTEROPERABILITY_INDEX = 1
_ADOBE_COLOUR_SPACES = (2, 65535)  # 2 is no standard, but some cameras write it
_ASCII = 2
_UNCALIBRATED = 65535

_MAX_ICC = 1 << 22
_MAX_BLOCK = 1 << 16
_MAX_READ = 1 << 26
_MAX_SUBDIRECTORIES = 16

Directories = dict[int, Directory]
"""The directories of a TIFF, raw file or EXIF block: MAIN, and EXIF, GPS and Interoperability if present."""


class _Bounded(io.RawIOBase):
    """A file of which at most 64 MiB are read: thousands of hostile tags may share the same megabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, _MAX_READ

    def read(self, size: Optional[int] = -1) -> bytes:
        self._left -= size if size is not None and size >= 0 else _MAX_READ
        if self._left < 0:
            raise OSError("too many tags")
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _bounded(file: BinaryIO) -> BinaryIO:
    return cast("BinaryIO", _Bounded(file))


class _Reader:
    """Reads directories of an open TIFF file or EXIF block."""

    def __init__(self, file: BinaryIO):
        self._file = file
        head = file.read(16)
        # Olympus and Panasonic write other numbers than TIFF's 42, and Pillow does not know "MM\0+".
        bigtiff = head[2:4] in (b"+\0", b"\0+")
        self._header = (b"II+\0" + head[4:]) if bigtiff else (b"II*\0" + head[4:8])
        self._order = head[:2]

    def main(self) -> Directory:
        return self.load(Directory(self._header, prefix=self._order).next)

    def load(self, offset: int, name: int = MAIN) -> Directory:
        """Read the directory at an offset. Pillow raises anything for hostile bytes."""
        directory = Directory(self._header, prefix=self._order, group=name or None)
        self._file.seek(offset)
        directory.load(self._file)
        return directory


@quiet_libraries()
def read_directories(file: BinaryIO) -> Directories:
    """Read the directories of an open TIFF or raw file; none if it is broken or something else."""
    file.seek(0)
    try:
        reader = _Reader(_bounded(file))
        found = {MAIN: reader.main()}
        for name in (EXIF, GPS):
            if isinstance(found[MAIN].get(name), int):
                found[name] = reader.load(found[MAIN][name], name)
        if EXIF in found and isinstance(found[EXIF].get(_INTEROPERABILITY), int):
            found[_INTEROPERABILITY] = reader.load(found[EXIF][_INTEROPERABILITY], _INTEROPERABILITY)
    except Exception:
        return {}
    return found


def copied(directory: Directory, names: Iterable[int]) -> Directory:
    """Return the tags of these names, with their types, as a directory that can be written.

    A tag whose value does not fit its type is left out. Pillow reads such tags, and raises anything when it
    writes them.
    """
    copy = Directory(group=directory.group)
    for name in names:
        if name in directory:
            value, kind = directory[name], directory.tagtype[name]
            if kind == _ASCII and isinstance(value, str):
                value = value.encode("latin-1", "replace")
            alone = Directory(group=directory.group)
            for each in (alone, copy):
                each.tagtype[name] = kind
                each[name] = value
            try:
                alone.tobytes(8)
            except Exception:
                del copy[name]
    return copy


def merged(*directories: Directory) -> Directory:
    """Return the tags of several directories with their types; of equal ones the last counts."""
    made = Directory(group=directories[0].group)
    for one in directories:
        for tag, value in one.items():
            made.tagtype[tag] = one.tagtype[tag]
            made[tag] = value
    return made


def pack_block(directories: Directories) -> bytes:
    """Return an EXIF block, which is a TIFF without a picture; b"" if there are no tags."""
    for directory in directories.values():
        dict(directory)  # Pillow writes only the tags of a read directory that were looked at
    if not any(directories.values()):
        return b""
    main = directories[MAIN]
    below = {name: directory for name, directory in directories.items() if name != MAIN and directory}
    main.update(dict.fromkeys(below, 0))
    offset, parts = 8 + len(main.tobytes(8)), []
    for name, directory in below.items():
        main[name] = offset
        parts.append(directory.tobytes(offset))
        offset += len(parts[-1])
    return b"".join([b"II*\0\x08\0\0\0", main.tobytes(8), *parts])


@dataclass(frozen=True)
class Metadata:
    """What is written along with a picture.

    exif          a TIFF block of the copied tags
    icc           the colour profile, the file's own or made from what it says of its colours
    dpi           across and down, or None
    png_colours   PNG's chunks of colours (kind, content), which a PNG gets instead of `icc`
    sampling      JPEG's chroma sampling by Pillow's names, "4:4:4", "4:2:2" or "4:2:0"
    selection     the last channel of the picture is a saved selection, not its opacity
    """

    exif: bytes = b""
    icc: bytes = b""
    dpi: Optional[tuple[float, float]] = None
    png_colours: tuple[tuple[bytes, bytes], ...] = ()
    sampling: str = "4:4:4"
    selection: bool = False

    @classmethod
    def of(cls, directories: Directories, icc: bytes = b"", dpi: Optional[tuple] = None) -> Metadata:
        """Return what is copied of a file's tags and profile; `dpi` defaults to the tags' resolution.

        A picture in Adobe RGB by its tags and without a profile gets the profile: the interoperability
        directory, which says so, is not copied.
        """
        dpi = tuple(map(float, dpi or _resolution(directories.get(MAIN, {})) or ()))
        if not icc and _in_adobe_rgb(directories):
            icc = adobe_rgb()
        return cls(
            copied_block(directories),
            icc if len(icc) <= _MAX_ICC else b"",
            (dpi[0], dpi[1]) if len(dpi) == 2 and all(0 < x < 1e6 for x in dpi) else None,
        )

    def with_profile(self, icc: bytes, srgb: bool) -> Metadata:
        """Return a copy with another colour profile, of sRGB or of another space, which the tags say too."""
        found = read_block(self.exif)
        if EXIF in found:
            found[EXIF][_COLOUR_SPACE] = 1 if srgb else _UNCALIBRATED
        return replace(self, exif=copied_block(found), icc=icc)

    def directories(self, height: int, width: int) -> Directories:
        """Return the tags for an upright picture of this size; none if there are none."""
        found = read_block(self.exif)
        if not found:
            return {}
        kept = {name: copied(directory, set(directory) - _NOT_COPIED) for name, directory in found.items()}
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
        grey = image.ndim == 2 or image.shape[2] == 2
        return self.icc if self.icc[16:20] == (b"GRAY" if grey else b"RGB ") else b""

    def without_origin(self) -> Metadata:
        """Return it without camera, place and date: with the colours' profile."""
        return replace(self, exif=b"", dpi=None)

    def without_words(self) -> Metadata:
        """Return only how the pixels are stored, which tells nothing of the file."""
        return Metadata(sampling=self.sampling, selection=self.selection)


NO_METADATA = Metadata()


def read_block(block: bytes) -> Directories:
    """Read an EXIF block. One that is broken, missing or above 64 KiB has no tags."""
    block = block[6:] if block.startswith(b"Exif\0\0") else block
    return read_directories(io.BytesIO(block)) if len(block) <= _MAX_BLOCK else {}


def read_file_tags(path: str | Path) -> Directories:
    """Read the directories of a TIFF or raw file."""
    with Path(path).open("rb") as file:
        return read_directories(file)


def _in_adobe_rgb(directories: Directories) -> bool:
    """Whether a camera says that the picture is in DCF's optional colour space, which is Adobe RGB."""
    if _INTEROPERABILITY not in directories:
        return False
    index = directories[_INTEROPERABILITY].get(_INTEROPERABILITY_INDEX)
    return index == "R03" and directories[EXIF].get(_COLOUR_SPACE) in _ADOBE_COLOUR_SPACES


@quiet_libraries()
def read_sensor_tags(path: str | Path) -> Directory:
    """Return the tags of a raw file's first directory and of the sensor's picture, which win.

    Adobe's converter puts the sensor's picture into a directory below the first one. Empty if the file is
    broken or no TIFF.
    """
    try:
        with Path(path).open("rb") as file:
            reader = _Reader(_bounded(file))
            found = reader.main()
            below = found.get(_SUBDIRECTORIES, ())
            for offset in (below if isinstance(below, tuple) else (below,))[:_MAX_SUBDIRECTORIES]:
                part = reader.load(offset)
                if part.get(_FILE_TYPE, 0) == 0 and part.get(PHOTOMETRIC) in _SENSORS:
                    return merged(found, part)
            return merged(found)  # which decodes every tag
    except Exception:
        return Directory()


def copied_block(directories: Directories) -> bytes:
    """Return an EXIF block of the tags that go along with a picture."""
    return pack_block(
        {
            name: copied(directory, _ABOUT if name == MAIN else set(directory) - _NOT_COPIED)
            for name, directory in directories.items()
            if name != _INTEROPERABILITY
        }
    )


def _resolution(main: Mapping[int, Any]) -> Optional[tuple[float, float]]:
    """Return the dots per inch, across and down, of EXIF or TIFF tags."""
    across, down = main.get(_ACROSS), main.get(_DOWN)
    scale = {2: 1.0, 3: 2.54}.get(main.get(UNIT, 2))
    if not (scale and isinstance(across, IFDRational) and isinstance(down, IFDRational)):
        return None
    return across * scale, down * scale
