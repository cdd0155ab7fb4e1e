"""TIFF directories: the tags of TIFF and most raw files, and of the EXIF block of every other picture.

Values are copied with their types and never interpreted, so nothing is lost on the way. Format:
TIFF 6.0 (1992), section 2; BigTIFF (2007); EXIF 2.32, section 4.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Optional, Union

import numpy as np

ORIENTATION, ICC, EXIF, GPS, INTEROPERABILITY = 274, 34675, 34665, 34853, 40965
_SUBDIRECTORIES = (EXIF, GPS, INTEROPERABILITY)

# TIFF's numbers of types -> NumPy's; a rational is two numbers.
_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4"}
_TYPES.update({11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8"})
_RATIONAL = (5, 10)

# All values of a file together: hostile ones let thousands of tags point at the same megabytes.
_MOST = 1 << 26


@dataclass(frozen=True)
class Tag:
    """A value: its TIFF type, and its bytes in little-endian order."""

    kind: int
    data: bytes

    @property
    def numbers(self) -> list:
        """Every number; a rational as its quotient, 0 where it has none."""
        values = np.frombuffer(self.data, "<" + _TYPES[self.kind]).tolist()
        if self.kind not in _RATIONAL:
            return values
        return [above / below if below else 0.0 for above, below in zip(values[::2], values[1::2])]

    @property
    def count(self) -> int:
        return len(self.data) // _size(self.kind)


Tags = dict[int, Union[Tag, "Tags"]]  # a directory below another is a dict in it


def short(*values: int) -> Tag:
    return Tag(3, struct.pack(f"<{len(values)}H", *values))


def number(tags: Tags, name: int, default: int = 0) -> int:
    """The first number of a tag, or the default where it is missing or has none."""
    tag = tags.get(name)
    values = tag.numbers if isinstance(tag, Tag) else []
    return int(values[0]) if values and np.isfinite(values[0]) else default


def _size(kind: int) -> int:
    return np.dtype(_TYPES[kind]).itemsize * (2 if kind in _RATIONAL else 1)


class Reader:
    """The directories of an open TIFF, raw file or EXIF block.

    Raises ValueError for what is no TIFF or is cut short. The number after the byte order is not
    held against it: Olympus and Panasonic have their own.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, _MOST
        self.order = {b"II": "<", b"MM": ">"}.get(self._read(0, 2), "")
        if not self.order:
            raise ValueError("no TIFF")
        self.big = self._unpack("H", 2)[0] == 43
        self._entry, self._count, self._offset = ("HHQ8s", "Q", "Q") if self.big else ("HHI4s", "H", "I")
        self.first: int = self._unpack(self._offset, 8 if self.big else 4)[0]

    def directory(self, place: int) -> tuple[Tags, dict[int, int], int]:
        """Return a directory's tags, where in the file each tag's value is, and the next one's place or 0."""
        (count,) = self._unpack(self._count, place)
        place += struct.calcsize("=" + self._count)
        width, inside = struct.calcsize("=" + self._entry), struct.calcsize("=HH" + self._offset)
        tags: Tags = {}
        places: dict[int, int] = {}
        for start in range(place, place + min(count, 65535) * width, width):
            name, kind, many, value = self._unpack(self._entry, start)
            if kind not in _TYPES:
                continue
            length = many * _size(kind)
            where = start + inside
            if length > len(value):
                (where,) = struct.unpack(self.order + self._offset, value)
            data = self._read(where, length) if length <= self._left else b""
            if len(data) == length:
                self._left -= length
                tags[name] = Tag(kind, _little_endian(data, kind) if self.order == ">" else data)
                places[name] = where
        return tags, places, self._unpack(self._offset, place + count * width, default=(0,))[0]

    def tree(self, place: int, depth: int = 3) -> Tags:
        """Return a directory's tags with the EXIF, GPS and interoperability directories it points to."""
        tags = self.directory(place)[0]
        for name in _SUBDIRECTORIES:
            below = number(tags, name)
            tags.pop(name, None)
            if below and depth:
                try:
                    tags[name] = self.tree(below, depth - 1)
                except ValueError:
                    continue
        return tags

    def _read(self, place: int, length: int) -> bytes:
        try:
            self._file.seek(place)
        except (OverflowError, OSError):  # beyond what a file can have
            return b""
        return self._file.read(length)

    def _unpack(self, form: str, place: int, default: Optional[tuple] = None) -> tuple:
        data = self._read(place, struct.calcsize("=" + form))
        try:
            return struct.unpack(self.order + form, data)
        except struct.error:
            if default is None:
                raise ValueError("a TIFF directory is cut short") from None
            return default


def _little_endian(data: bytes, kind: int) -> bytes:
    return np.frombuffer(data, _TYPES[kind]).byteswap().tobytes()


class View:
    """Bytes in memory as a file, without io.BytesIO's copy of them."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._place = data, 0

    def seek(self, place: int) -> None:
        self._place = place

    def read(self, length: int) -> bytes:
        part = bytes(self._data[self._place : self._place + length])
        self._place += len(part)
        return part


def pack(tags: Tags, place: int) -> bytes:
    """Return a little-endian directory, with those below it, that will stand at an even `place`."""
    after = place + 2 + 12 * len(tags) + 4
    entries, values = [struct.pack("<H", len(tags))], bytearray()
    for name, tag in sorted(tags.items(), key=lambda item: item[0]):
        where = after + len(values)
        if isinstance(tag, dict):
            values += pack(tag, where)
            tag, data = Tag(4, b"1234"), struct.pack("<I", where)
        elif len(tag.data) <= 4:
            data = tag.data.ljust(4, b"\0")
        else:
            data = struct.pack("<I", where)
            values += tag.data
        entries.append(struct.pack("<HHI", name, tag.kind, tag.count) + data)
        values += b"\0" * (len(values) % 2)
    return b"".join(entries) + b"\0\0\0\0" + values


def pack_block(tags: Tags) -> bytes:
    """Return an EXIF block: a TIFF without a picture."""
    return b"II*\0\x08\0\0\0" + pack(tags, 8)


def read_block(block: bytes) -> Tags:
    """Read an EXIF block; one that is broken or missing has no tags."""
    try:
        reader = Reader(View(memoryview(block)))
        return reader.tree(reader.first)
    except ValueError:
        return {}
