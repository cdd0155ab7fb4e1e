"""What goes from a picture or raw file into its restored picture: colour profile, EXIF, resolution.

What belongs to the old file alone stays behind: its orientation (the pixels are turned), thumbnail,
maker's note (its offsets are into the old file), XMP and IPTC (editing state, parts that follow the
JPEG), and whatever describes the old pixels' storage.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from paddle_restore.data.headers import Header, read_header, riff_chunks
from paddle_restore.data.tags import (
    EXIF,
    GPS,
    ICC,
    INTEROPERABILITY,
    ORIENTATION,
    Reader,
    Tag,
    Tags,
    View,
    number,
    pack_block,
    read_block,
    short,
)

# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Rating, RatingPercent,
# Copyright and what Windows writes (XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject).
_ABOUT = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096))
_COLOUR_SPACE, _WIDTH, _HEIGHT, _MAKERS_NOTE = 40961, 40962, 40963, 37500
_JPEG_MOST = 65533
_JPEG_START = 1 << 20

Buffer = Union[bytes, memoryview]


@dataclass(frozen=True)
class Metadata:
    """exif: a TIFF block of the tags worth keeping; icc: the profile; dpi: across and down, or None."""

    exif: bytes = b""
    icc: bytes = b""
    dpi: Optional[tuple[float, float]] = None

    @classmethod
    def of(cls, header: Header) -> Metadata:
        dpi = header.dpi or _said_resolution(header.tags)
        return cls(_kept(header.tags), header.icc, dpi if dpi and all(0 < x < 1e6 for x in dpi) else None)

    def tags(self, height: int, width: int) -> Tags:
        """The EXIF tags of an upright picture of that size; none where there is nothing to say."""
        tags = read_block(self.exif)
        if not tags:
            return {}
        below = {_WIDTH: Tag(4, struct.pack("<I", width)), _HEIGHT: Tag(4, struct.pack("<I", height))}
        return {**tags, **_resolution(self.dpi), ORIENTATION: short(1), EXIF: {**tags.get(EXIF, {}), **below}}

    def profile(self, channels: int) -> bytes:
        """The ICC profile, if it is one for so many channels."""
        return self.icc if self.icc[16:20] == (b"GRAY" if channels == 1 else b"RGB ") else b""

    def of_tiff(self, height: int, width: int, channels: int) -> Tags:
        """The tags of an upright TIFF of that size: EXIF's, the resolution and the profile."""
        icc = self.profile(channels)
        tags = {**self.tags(height, width), **_resolution(self.dpi)}
        return {**tags, ICC: Tag(7, icc)} if icc else tags


NO_METADATA = Metadata()


def _kept(tags: Tags) -> bytes:
    kept = {name: tags[name] for name in (*_ABOUT, GPS) if name in tags}
    exif = {name: tag for name, tag in tags.get(EXIF, {}).items() if name != _MAKERS_NOTE}
    if exif:
        kept[EXIF] = exif
    return pack_block(kept) if kept else b""


def _said_resolution(tags: Tags) -> Optional[tuple[float, float]]:
    """Return the dots per inch, across and down, that EXIF or TIFF tags say."""
    across, down = (float(tags[name].numbers[0]) if number(tags, name) else 0.0 for name in (282, 283))
    scale = {2: 1.0, 3: 2.54}.get(number(tags, 296, 2))
    return (across * scale, down * scale) if across > 0 and down > 0 and scale else None


def _resolution(dpi: Optional[tuple[float, float]]) -> Tags:
    if not dpi:
        return {}
    across, down = (Tag(5, struct.pack("<II", round(value * 1000), 1000)) for value in dpi)
    return {282: across, 283: down, 296: short(2)}


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
                tags = read_header(io.BytesIO(file.read(_JPEG_START))).tags
            else:
                reader = Reader(file)
                tags = reader.tree(reader.first)
    except (OSError, ValueError, struct.error):
        return NO_METADATA
    if EXIF in tags:
        exif = {name: tag for name, tag in tags[EXIF].items() if name != INTEROPERABILITY}
        tags = {**tags, EXIF: {**exif, _COLOUR_SPACE: short(1)}}
    return Metadata(_kept(tags))


def embed(encoded: memoryview, suffix: str, size: tuple[int, int, int], metadata: Metadata) -> list[Buffer]:
    """Return an encoded picture's file in parts, with the metadata where its format has room for them.

    `size` is (height, width, channels). BMP has room for none (TIFF: `Metadata.of_tiff`);
    a JPEG's EXIF must be below 64 KiB.
    """
    height, width, channels = size
    tags, icc = metadata.tags(height, width), metadata.profile(channels)
    exif = pack_block(tags) if tags else b""
    if suffix == ".png":
        return _into_png(encoded, exif, icc, metadata.dpi)
    if suffix in (".jpg", ".jpeg"):
        return _into_jpeg(encoded, exif, icc, metadata.dpi)
    if suffix == ".webp" and (exif or icc):
        return _into_webp(encoded, exif, icc, size)
    return [encoded]


def _into_png(encoded: memoryview, exif: bytes, icc: bytes, dpi: Optional[tuple]) -> list[Buffer]:
    chunks = []
    if icc:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi:
        chunks.append((b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in dpi), 1)))
    if exif:
        chunks.append((b"eXIf", exif))
    made = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    header = 8 + 25  # the signature and IHDR, which comes first
    return [encoded[:header], *made, encoded[header:]]


def _into_jpeg(encoded: memoryview, exif: bytes, icc: bytes, dpi: Optional[tuple]) -> list[Buffer]:
    header = 2 + 18  # the start and JFIF's segment, which OpenCV always writes
    jfif = bytearray(encoded[:header])
    if dpi:
        jfif[13:18] = struct.pack(">BHH", 1, *(min(round(value), 65535) for value in dpi))
    segments = []
    if exif and len(exif) + 6 <= _JPEG_MOST:
        segments.append((0xE1, b"Exif\0\0" + exif))
    most = _JPEG_MOST - 14
    parts = [icc[start : start + most] for start in range(0, len(icc), most)]
    for index, part in enumerate(parts, 1):
        segments.append((0xE2, b"ICC_PROFILE\0" + bytes([index, len(parts)]) + part))
    made = [b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments]
    return [bytes(jfif), *made, encoded[header:]]


def _into_webp(encoded: memoryview, exif: bytes, icc: bytes, size: tuple[int, int, int]) -> list[Buffer]:
    height, width, channels = size
    flags = 0x20 * bool(icc) | 0x10 * (channels == 4) | 0x08 * bool(exif)
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks: list[tuple[bytes, Buffer]] = [(b"VP8X", bytes([flags, 0, 0, 0]) + canvas)]
    if icc:
        chunks.append((b"ICCP", icc))
    for kind, place, length in riff_chunks(View(encoded)):
        if kind in (b"ALPH", b"VP8 ", b"VP8L"):
            chunks.append((kind, encoded[place : place + length]))
    if exif:
        chunks.append((b"EXIF", exif))
    body: list[Buffer] = [b"WEBP"]
    for kind, data in chunks:
        body += [kind + struct.pack("<I", len(data)), data, b"\0" * (len(data) % 2)]
    return [b"RIFF" + struct.pack("<I", sum(map(len, body))), *body]
