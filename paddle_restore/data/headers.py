"""What a picture file says before its pixels: size, orientation, colour profile, EXIF.

Only the file's own structure is read, so a picture's size is known and limited before anything is
decoded. Formats: PNG (W3C, third edition), JPEG (ITU T.81 annex B; JFIF; EXIF; ICC.1 annex B.4),
TIFF 6.0, the WebP container specification (RFC 9649), BMP.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Optional

from paddle_restore.data.tags import ICC, ORIENTATION, Reader, Tags, number, read_block

PNG = b"\x89PNG\r\n\x1a\n"
ICC_LARGEST = 1 << 22
_EXTRA_SAMPLES = 338
_FULL_PICTURES = (0, 2)  # TIFF's NewSubfileType, of no thumbnail and no mask


class NotSupported(ValueError):
    """A sound file with something in it that this package does not read; the text says what."""


@dataclass(frozen=True)
class Header:
    """height, width: as stored, before `orientation` (EXIF's 1 to 8) turns the picture upright.

    amend: (place in the file, bytes) to put there for OpenCV, which would turn some TIFF files itself,
    and multiply colours by their opacity in others.
    """

    format: str
    height: int
    width: int
    tags: Tags = field(default_factory=dict)
    icc: bytes = b""
    dpi: Optional[tuple[float, float]] = None
    amend: tuple[tuple[int, bytes], ...] = ()
    floating: bool = False

    @property
    def orientation(self) -> int:
        value = number(self.tags, ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def upright_size(self) -> tuple[int, int]:
        return (self.width, self.height) if self.orientation > 4 else (self.height, self.width)


def read_header(file: BinaryIO) -> Header:
    """Read the header of an open picture, whatever its name. ValueError: broken, or no picture."""
    start = file.read(16)
    file.seek(0)
    try:
        if start.startswith(PNG):
            return _png(file)
        if start.startswith(b"\xff\xd8\xff"):
            return _jpeg(file)
        if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
            return _webp(file)
        if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(file)
        if start[:2] == b"BM":
            return _bmp(file)
    except (struct.error, zlib.error, IndexError):
        raise ValueError("the file is broken or cut short") from None
    raise ValueError("the file is empty" if not start else "the file holds no PNG, JPEG, TIFF, WebP or BMP")


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, place of the data, length)."""
    place = 8
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        yield head[4:], place + 8, length
        place += length + 12


def _part(file: BinaryIO, place: int, length: int, most: int = ICC_LARGEST) -> bytes:
    file.seek(place)
    return file.read(min(length, most))


def _png(file: BinaryIO) -> Header:
    width = height = 0
    tags, icc, dpi = {}, b"", None
    for kind, place, length in _png_chunks(file):
        if kind == b"IHDR":
            width, height = struct.unpack(">II", _part(file, place, 8))
        elif kind == b"acTL" and struct.unpack(">I", _part(file, place, 4))[0] > 1:
            raise NotSupported("is an animated PNG; save one of its pictures as a file of its own")
        elif kind == b"iCCP":
            named = _part(file, place, length)
            icc = _inflate(named[named.find(b"\0") + 2 :])
        elif kind == b"eXIf":
            tags = read_block(_part(file, place, length))
        elif kind == b"pHYs":
            *density, unit = struct.unpack(">IIB", _part(file, place, 9))
            dpi = tuple(value * 0.0254 for value in density) if unit == 1 else None
    return _sized(Header("PNG", height, width, tags, icc, dpi))


def _inflate(data: bytes) -> bytes:
    """Decompress at most ICC_LARGEST bytes; a profile that has more, or is broken, is none."""
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(data, ICC_LARGEST)
    except zlib.error:
        return b""
    return profile if stream.eof else b""


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, place of the data, length) until the first scan, that one included."""
    place = 2
    while True:
        marker = _part(file, place, 2)
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] in (0, 0xD9):
            return
        if marker[1] == 0xFF:  # a fill byte
            place += 1
            continue
        length = int.from_bytes(_part(file, place + 2, 2), "big")
        if length < 2:
            return
        yield marker[1], place + 4, length - 2
        if marker[1] == 0xDA:
            return
        place += 2 + length


def _jpeg(file: BinaryIO) -> Header:
    height = width = channels = 0
    tags, profile, dpi = {}, {}, None
    for marker, place, length in _jpeg_segments(file):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and not height:
            _, height, width, channels = struct.unpack(">BHHB", _part(file, place, 6))
        elif marker == 0xE0 and _part(file, place, 5) == b"JFIF\0":
            _, unit, across, down = struct.unpack(">HBHH", _part(file, place + 5, 7))
            dpi = tuple(value * {1: 1, 2: 2.54}[unit] for value in (across, down)) if unit in (1, 2) else None
        elif marker == 0xE1 and not tags and _part(file, place, 6) == b"Exif\0\0":
            tags = read_block(_part(file, place + 6, length - 6))
        elif marker == 0xE2 and _part(file, place, 12) == b"ICC_PROFILE\0":
            data = _part(file, place + 12, length - 12)
            profile[data[0]] = data[2:]
    if channels == 4:
        raise NotSupported("is a CMYK picture; convert it to RGB first")
    icc = b"".join(data for _, data in sorted(profile.items()))
    return _sized(Header("JPEG", height, width, tags, icc if len(icc) <= ICC_LARGEST else b"", dpi))


def riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, place of the data, length)."""
    place = 12
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], place + 8, length
        place += 8 + length + length % 2


def _webp(file: BinaryIO) -> Header:
    width = height = 0
    tags, icc = {}, b""
    for kind, place, length in riff_chunks(file):
        data = _part(file, place, length if kind in (b"ICCP", b"EXIF") else min(length, 10))
        if kind == b"VP8X":
            width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (4, 7))
        elif kind in (b"ANIM", b"ANMF"):
            raise NotSupported("is an animated WebP; save one of its pictures as a file of its own")
        elif kind == b"VP8 " and not width:
            width, height = (value & 0x3FFF for value in struct.unpack("<HH", data[6:10]))
        elif kind == b"VP8L" and not width:
            bits = int.from_bytes(data[1:5], "little")
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"ICCP":
            icc = data
        elif kind == b"EXIF":
            tags = read_block(data[6:] if data.startswith(b"Exif\0\0") else data)
    return _sized(Header("WebP", height, width, tags, icc))


def _tiff(file: BinaryIO) -> Header:
    reader = Reader(file)
    _, places, following = reader.directory(reader.first)
    tags = reader.tree(reader.first)
    _refuse_unknown_tiff(tags)
    seen = {reader.first}
    while following and following not in seen and len(seen) < 100:
        seen.add(following)
        page, _, following = reader.directory(following)
        if number(page, 254) in _FULL_PICTURES and number(page, 256):
            raise NotSupported("holds several pictures (pages); save each as a file of its own")
    profile = tags.pop(ICC, None)
    plain = {ORIENTATION: 1, _EXTRA_SAMPLES: 0}
    amend = tuple(
        (places[name], struct.pack(reader.order + "H", plain[name])) for name in plain if name in places
    )
    icc = profile.data if profile and len(profile.data) <= ICC_LARGEST else b""
    floating = number(tags, 339, 1) == 3
    return _sized(Header("TIFF", number(tags, 257), number(tags, 256), tags, icc, None, amend, floating))


def _refuse_unknown_tiff(tags: Tags) -> None:
    depths = set(tags[258].numbers) if 258 in tags else {1}
    kind, channels, colours = number(tags, 339, 1), number(tags, 277, 1), number(tags, 262)
    if colours == 5:
        raise NotSupported("is a CMYK picture; convert it to RGB first")
    if colours in (32803, 34892):
        raise NotSupported("holds a camera's raw data; give it to a network for raw files, as .dng")
    if colours not in (0, 1, 2, 3, 6) or channels not in (1, 3, 4):
        raise NotSupported(
            f"is a TIFF of {channels} channels and colour type {colours}; save it as grey or RGB"
        )
    # OpenCV gives other pixels than these files have.
    if 8 not in depths and number(tags, 284, 1) == 2 and channels > 1:
        raise NotSupported("is a TIFF whose channels lie apart; save it with interleaved ones")
    if 16 in depths and colours == 0:
        raise NotSupported("is a 16-bit TIFF in which 0 is white; save it with 0 as black")
    if (kind, *depths) not in {(1, 1), (1, 4), (1, 8), (1, 16), (3, 32)}:
        name = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(kind, "unknown")
        bits = "/".join(map(str, sorted(depths)))
        raise NotSupported(f"is a TIFF of {bits}-bit {name} numbers; save it with 8 or 16 bits")


def _bmp(file: BinaryIO) -> Header:
    if _part(file, 14, 4) == b"\x0c\0\0\0":
        raise NotSupported("is a bitmap of OS/2; save it as PNG")
    width, height = struct.unpack("<ii", _part(file, 18, 8))
    return _sized(Header("BMP", abs(height), width))


def _sized(header: Header) -> Header:
    if header.height < 1 or header.width < 1:
        raise ValueError("the file is broken or cut short")
    return header
