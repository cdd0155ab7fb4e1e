"""JPEG XL by imagecodecs, which is an extra. It is only read.

imagecodecs gives pixels only. Size, orientation, depth and colours are read here from the codestream's header
(ISO/IEC 18181-1, Annex D). A file that holds a whole JPEG is turned back into it.
"""

from __future__ import annotations

import io
from types import ModuleType
from typing import BinaryIO, Optional

import numpy as np

from paddle_restore.data.boxes import box_content, boxes, profile_with_note
from paddle_restore.data.formats import Format, NotSupported, OpenPicture, add_format
from paddle_restore.data.formats.jpeg import JpegPicture
from paddle_restore.data.metadata import Metadata, read_block
from paddle_restore.data.pixels import divide_by_opacity, read_bytes, stretch_to_16_bits

_CODESTREAM = b"\xff\x0a"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_XYB, _GREY = 2, 1  # colour spaces
_D65, _DCI_WHITE, _CUSTOM = 1, 11, 2
_ALPHA = 0  # kind of an extra channel
_PRIMARIES = {1: 1, 9: 9, 11: 12}  # JPEG XL's number -> H.273's


class _Bits:
    """The header's fields, least significant bits first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def u(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("cut short")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def u32(self, *choices: tuple[int, int]) -> int:
        """Read one of four kinds of number: (offset, bits)."""
        offset, bits = choices[self.u(2)]
        return offset + self.u(bits)

    def enum(self) -> int:
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))


class _Header:
    """What the codestream says of its picture."""

    def __init__(self, codestream: bytes) -> None:
        bits = _Bits(codestream[2:2048])
        self.size = _size(bits)
        self.orientation, self.depth, self.is_float, self.alpha_multiplied = 1, 8, False, False
        self.icc = b""
        self.note: Optional[str] = None
        if bits.u(1):  # all default: 8 bits, sRGB
            return
        if bits.u(1):
            self.orientation = 1 + bits.u(3)
            if bits.u(1):
                _size(bits)  # the size that it should be shown in
            if bits.u(1):
                raise NotSupported("is a JPEG XL with a preview; save it without, or as PNG")
            if bits.u(1):
                raise NotSupported("is an animated JPEG XL; save one of its pictures as a file of its own")
        self.is_float, self.depth = _bit_depth(bits)
        bits.u(1)
        for _ in range(bits.u32((0, 0), (1, 0), (2, 4), (1, 12))):
            self.alpha_multiplied |= _extra_channel(bits)
        bits.u(1)
        self._read_colours(bits)

    def _read_colours(self, bits: _Bits) -> None:
        if bits.u(1):  # sRGB
            return
        has_icc, space = bits.u(1), bits.enum()
        if has_icc:
            raise NotSupported(
                "is a JPEG XL with an ICC profile, which is not read; convert it to PNG or TIFF"
            )
        if space == _XYB:
            return
        white = bits.enum()
        if white not in (_D65, _DCI_WHITE):
            raise NotSupported("is a JPEG XL of a white of its own; convert it to PNG or TIFF")
        primaries = 1
        if space != _GREY:
            named = bits.enum()
            primaries = _PRIMARIES.get(named, 0) if white != _DCI_WHITE else 11
            if named == _CUSTOM:
                raise NotSupported("is a JPEG XL of primaries of its own; convert it to PNG or TIFF")
        if bits.u(1):
            raise NotSupported("is a JPEG XL of a gamma of its own; convert it to PNG or TIFF")
        self.icc, self.note = profile_with_note(primaries, bits.enum())


def _size(bits: _Bits) -> tuple[int, int]:
    """Read (height, width)."""
    small = bits.u(1)

    def side() -> int:
        return 8 * (1 + bits.u(5)) if small else bits.u32((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.u(3)
    if not ratio:
        return height, side()
    over, under = _RATIOS[ratio - 1]
    return height, height * over // under


def _bit_depth(bits: _Bits) -> tuple[bool, int]:
    if not bits.u(1):
        return False, bits.u32((8, 0), (10, 0), (12, 0), (1, 6))
    depth = bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
    bits.u(4)
    return True, depth


def _extra_channel(bits: _Bits) -> bool:
    """Read an extra channel; return whether the colours are multiplied by it."""
    if bits.u(1):  # plain opacity
        return False
    kind = bits.enum()
    _bit_depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.u32((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.u(8)
    if kind != _ALPHA:
        raise NotSupported("is a JPEG XL with more channels than colours and opacity; save it without them")
    return bool(bits.u(1))


class JpegXlPicture:
    """An `OpenPicture` of a file that is no JPEG."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        data = read_bytes(file)
        is_bare = data[:2].tobytes() == _CODESTREAM
        codestream = data[:2048].tobytes() if is_bare else _codestream(file)
        header = self._header = _Header(codestream)
        if header.is_float or header.depth > 16:
            raise NotSupported(f"is a JPEG XL of {header.depth}-bit numbers; save it with 8 or 16 bits")
        self.size, self.orientation = header.size, header.orientation
        self.notes: list[str] = [header.note] if header.note else []
        exif = b"" if is_bare else box_content(file, b"Exif")
        self.metadata = Metadata.of(read_block(exif[4:]), header.icc)

    def decode(self) -> np.ndarray:
        pixels = _library().jpegxl_decode(read_bytes(self._file).tobytes(), keeporientation=True)
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        if pixels.dtype == np.uint16:
            pixels = stretch_to_16_bits(pixels, self._header.depth)
        if self._header.alpha_multiplied:
            divide_by_opacity(pixels)
        return pixels


def _codestream(file: BinaryIO) -> bytes:
    parts = (content[4 * (kind == b"jxlp") :] for kind, content in boxes(file) if kind in (b"jxlc", b"jxlp"))
    return b"".join(parts)[:2048]


def _library() -> ModuleType:
    try:
        import imagecodecs
    except ImportError:
        raise NotSupported(
            'is a JPEG XL picture; install imagecodecs to read it (pip install "paddle_restore[formats]")'
        ) from None
    return imagecodecs


def _open(file: BinaryIO) -> OpenPicture:
    library = _library()
    if any(kind == b"jbrd" for kind, _ in boxes(file)):
        return JpegPicture(io.BytesIO(library.jpegxl_decode_jpeg(read_bytes(file).tobytes())))
    return JpegXlPicture(file)


add_format(
    Format(
        title="JPEG XL",
        suffixes=(".jxl",),
        mime="image/jxl",
        magic=rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
        open=_open,
        write=None,
        depths=(8, 16),
        alpha=True,
        offered=False,
    )
)
