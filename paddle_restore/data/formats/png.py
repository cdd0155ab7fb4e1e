"""PNG: Pillow opens it and decodes 8 bits; OpenCV decodes 16 bits, which Pillow would reduce to 8.

OpenCV encodes it, because Pillow has no 16-bit RGB and takes three times as long for 8 bits
(docs/pictures.md). OpenCV has no grey with opacity: that is encoded here. The chunks with metadata are put in
afterwards.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO, Optional

import cv2
import numpy as np
from PIL.PngImagePlugin import PngImageFile, putchunk

from paddle_restore.data import colour_profiles
from paddle_restore.data.formats import CannotHold, Format, add_format
from paddle_restore.data.metadata import Directories, Metadata, read_block
from paddle_restore.data.pillow import PillowPicture
from paddle_restore.data.pixels import decode_by_opencv, read_bytes

_HEADER = 8 + 25  # bytes of the signature and of IHDR, which comes first
_DEPTH, _COLOUR_TYPE = 24, 25  # places of IHDR's bytes in the file
_GREY, _GREY_WITH_ALPHA = 0, 4
_CICP = b"cICP"
_COLOUR_CHUNKS = (_CICP, b"sRGB", b"gAMA", b"cHRM")
_SRGB_GAMMA = 45455  # as gAMA stores 1 / 2.2
_MAX_COLOUR_CHUNK = 32
_SUB = 1  # filter: difference to the left pixel


class PngPicture(PillowPicture):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, PngImageFile)
        file.seek(0)
        header = file.read(_HEADER)
        self._depth, self._colour_type = header[_DEPTH], header[_COLOUR_TYPE]
        self._colours = dict(_colour_chunks(file))

    @property
    def metadata(self) -> Metadata:
        found = super().metadata
        if found.icc and _CICP not in self._colours:
            return found
        icc = found.icc or _profile_of(self._colours, grey=self._colour_type in (_GREY, _GREY_WITH_ALPHA))
        chunks = {_CICP: self._colours[_CICP]} if _CICP in self._colours else self._colours
        return replace(found, icc=icc, png_colours=tuple(chunks.items()))

    def _tags(self) -> Directories:
        texts = (self.image.info.get(f"Raw profile type {kind}") for kind in ("exif", "APP1"))
        blocks = (super()._tags(), *(read_block(_exif_of_text(text)) for text in texts))
        return next(filter(None, blocks), {})

    def decode(self) -> np.ndarray:
        self.file.seek(0)
        PngImageFile(self.file).verify()  # checksums, which no decoder looks at
        if self._depth == 16:
            return self._decode_16_bits()
        self.file.seek(0)
        pixels = super().decode()
        transparent = self.image.info.get("transparency")
        if self._colour_type == _GREY and self._depth in (2, 4) and transparent is not None:
            # Pillow compares the grey of the file with the one of 8 bits.
            grey = pixels if pixels.ndim == 2 else pixels[..., 0]
            return _with_transparent_grey(grey, transparent * 255 // (2**self._depth - 1))
        return pixels

    def _decode_16_bits(self) -> np.ndarray:
        pixels = decode_by_opencv(read_bytes(self.file))
        if self._colour_type == _GREY_WITH_ALPHA and pixels.ndim == 3:
            return np.ascontiguousarray(pixels[..., [0, -1]])
        transparent = self.image.info.get("transparency")
        if self._colour_type == _GREY and transparent is not None:
            return _with_transparent_grey(pixels if pixels.ndim == 2 else pixels[..., 0], transparent)
        return pixels


def _with_transparent_grey(grey: np.ndarray, transparent: int) -> np.ndarray:
    """Return (H, W, 2): the pixels of one grey are transparent, all others opaque."""
    highest = np.iinfo(grey.dtype).max
    return np.dstack([grey, np.where(grey == transparent, 0, highest).astype(grey.dtype)])


def _colour_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks before the pixels that say what the colours are."""
    file.seek(_HEADER)
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind in (b"IDAT", b"IEND"):
            return
        if kind in _COLOUR_CHUNKS and length <= _MAX_COLOUR_CHUNK:
            yield kind, file.read(length)
            file.read(4)
        else:
            file.seek(length + 4, 1)


def _profile_of(colours: dict[bytes, bytes], grey: bool) -> bytes:
    """Return a profile of the chunks for formats that know no chunks, b"" for sRGB and what has no profile.

    The order of the chunks is that of the PNG specification, third edition: cICP, sRGB, then cHRM and gAMA.
    """
    with suppress(ValueError, struct.error):
        if _CICP in colours:
            primaries, transfer, _, _ = struct.unpack("4B", colours[_CICP])
            return b"" if grey else colour_profiles.of_code_points(primaries, transfer) or b""
        (gamma,) = struct.unpack(">I", colours.get(b"gAMA", struct.pack(">I", _SRGB_GAMMA)))
        if b"sRGB" in colours or not gamma:
            return b""
        if grey:
            return b"" if gamma == _SRGB_GAMMA else colour_profiles.grey_profile("PNG gAMA", 1e5 / gamma)
        white, red, green, blue = _chromaticities(colours.get(b"cHRM"))
        if gamma == _SRGB_GAMMA and b"cHRM" not in colours:
            return b""
        return colour_profiles.rgb_profile("PNG gAMA and cHRM", (red, green, blue), white, 1e5 / gamma)
    return b""


def _chromaticities(chunk: Optional[bytes]) -> list[tuple[float, float]]:
    """Return x, y of white, red, green and blue; sRGB's without a chunk."""
    values = struct.unpack(">8I", chunk) if chunk else (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    return [(x / 1e5, y / 1e5) for x, y in zip(values[::2], values[1::2])]


def _exif_of_text(text: object) -> bytes:
    """Return the EXIF block that ImageMagick writes as a text: a name, a length, and hexadecimal digits."""
    found = re.fullmatch(r"\s*(?:exif|app1)\s+\d+\s+([0-9a-fA-F\s]*)", str(text))
    with suppress(ValueError):
        return bytes.fromhex(found[1]) if found else b""
    return b""


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    data = _encode_grey_with_alpha(image) if image.ndim == 3 and image.shape[2] == 2 else _encode(image)
    exif, icc = metadata.exif_block(image), metadata.profile(image)
    file.write(data[:_HEADER])
    for kind, content in metadata.png_colours:
        putchunk(file, kind, content)
    if icc and (not metadata.png_colours or metadata.png_colours[0][0] == _CICP):
        putchunk(file, b"iCCP", b"ICC profile\0\0", zlib.compress(icc))
    if metadata.dpi:
        across, down = (round(value / 0.0254) for value in metadata.dpi)
        putchunk(file, b"pHYs", struct.pack(">IIB", across, down, 1))  # pixels per metre
    if exif:
        putchunk(file, b"eXIf", exif)
    file.write(data[_HEADER:])


def _encode(image: np.ndarray) -> memoryview:
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    try:
        # OpenCV's default options are its fastest (docs/pictures.md).
        good, encoded = cv2.imencode(".png", image)
    except cv2.error:
        good = False
    if not good:
        raise CannotHold
    return encoded.data


def _encode_grey_with_alpha(image: np.ndarray) -> bytes:
    """Encode (H, W, 2) uint8 or uint16."""
    height, width, _ = image.shape
    depth, pixel = 8 * image.itemsize, 2 * image.itemsize
    stored = np.ascontiguousarray(image, f">u{image.itemsize}").view(np.uint8).reshape(height, width, pixel)
    rows = np.full((height, 1 + width * pixel), _SUB, np.uint8)
    rows[:, 1:] = np.diff(stored, axis=1, prepend=np.uint8(0)).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, depth, _GREY_WITH_ALPHA, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.data, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


add_format(
    Format(
        title="PNG",
        suffixes=(".png",),
        mime="image/png",
        magic=rb"\x89PNG",
        open=PngPicture,
        write=_write,
        depths=(8, 16),
        alpha=True,
    )
)
