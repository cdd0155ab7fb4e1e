"""Raw files from arrays: the smallest DNG that LibRaw opens like a camera's file.

Source: Adobe, Digital Negative Specification 1.4 (tag numbers, meaning of each field), and
TIFF 6.0 for the container.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Union

import numpy as np

from paddle_restore.arithmetic import round_up
from paddle_restore.data.files import atomic_path

BAYER_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
XTRANS_PATTERN = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"
"""Fujifilm's 6x6 pattern, row by row, as the X-T2 has it."""

SRGB_COLOR_MATRIX = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
"""XYZ -> linear sRGB (IEC 61966-2-1), row by row: the matrix of a camera that sees sRGB."""

# One Huffman table for every picture: the 5-bit code of a difference category is its number. Cameras fit
# the table to the picture; decoders read both.
_CODE_BITS = 5
_CATEGORIES = 17

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMAT = {_BYTE: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "II", _SRATIONAL: "ii"}
_EXIF_IFD = 34665
_STRIP_OFFSET = 273

Tags = dict[int, tuple[int, Union[Sequence, str]]]

_FIXED_TAGS: Tags = {
    254: (_LONG, [0]),  # NewSubfileType: the full picture
    262: (_SHORT, [32803]),  # PhotometricInterpretation: colour filter array
    271: (_ASCII, "paddle_restore"),  # Make
    277: (_SHORT, [1]),  # SamplesPerPixel
    284: (_SHORT, [1]),  # PlanarConfiguration
    50706: (_BYTE, [1, 4, 0, 0]),  # DNGVersion
    50707: (_BYTE, [1, 1, 0, 0]),  # DNGBackwardVersion
    50710: (_BYTE, [0, 1, 2]),  # CFAPlaneColor: R, G, B
    50711: (_SHORT, [1]),  # CFALayout: rectangular
    50778: (_SHORT, [21]),  # CalibrationIlluminant1: D65
}


def write_dng(path: Union[str, Path], mosaic: np.ndarray, **fields: Any) -> None:
    """Write `mosaic` as a DNG file, whole or not at all; `fields` are those of `dng_bytes`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(dng_bytes(mosaic, **fields))


def dng_bytes(
    mosaic: np.ndarray,
    *,
    pattern: str = "RGGB",
    black_level: Union[int, Sequence[int]] = 0,
    white_level: int = 65535,
    white_balance: Sequence[float] = (1.0, 1.0, 1.0),
    exposure_time: float = 1.0,
    iso: int = 100,
    aperture: float = 8.0,
    color_matrix: Sequence[float] = SRGB_COLOR_MATRIX,
    orientation: int = 1,
    active_area: Sequence[int] | None = None,
    model: str = "synthetic",
    bits: int = 16,
    compression: str = "none",
) -> bytes:
    """Return the DNG file of a (H, W) mosaic of unsigned integers below 2**`bits`.

    pattern        a Bayer phase or 36 letters of an X-Trans pattern, row by row, at the top left
                   corner of the active area
    black_level    DN; one number, or one per position of the pattern (4 or 36), row by row
    white_level    DN at which the sensor saturates
    white_balance  multipliers of camera R, G, B that make white neutral
    exposure_time  seconds
    color_matrix   XYZ (D65) -> camera RGB, nine numbers row by row
    orientation    Exif's 1-8
    active_area    (top, left, bottom, right) of the light-sensitive pixels; the rest are margins
    bits           bits per stored sample, 8-16; below 16 the rows are packed
    compression    "none" or "lossless jpeg"

    Raises ValueError for a field that does not fit the others.
    """
    _check(mosaic, pattern, black_level, bits, compression)
    height, width = mosaic.shape
    period = 2 if len(pattern) == 4 else 6
    blacks = np.atleast_1d(black_level).tolist()
    repeat = [period, period] if len(blacks) > 1 else [1, 1]
    jpeg = compression == "lossless jpeg"
    strip = lossless_jpeg(mosaic, bits) if jpeg else _packed(mosaic, bits)
    tags: Tags = {
        **_FIXED_TAGS,
        272: (_ASCII, model),
        50708: (_ASCII, f"paddle_restore {model}"),  # UniqueCameraModel
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [bits]),
        259: (_SHORT, [7 if jpeg else 1]),  # Compression
        _STRIP_OFFSET: (_LONG, [0]),
        274: (_SHORT, [orientation]),
        278: (_LONG, [height]),  # RowsPerStrip
        279: (_LONG, [len(strip)]),
        33421: (_SHORT, [period, period]),  # CFARepeatPatternDim
        33422: (_BYTE, ["RGB".index(letter) for letter in pattern]),
        50713: (_SHORT, repeat),  # BlackLevelRepeatDim
        50714: (_LONG, blacks),
        50717: (_LONG, [white_level]),
        50721: (_SRATIONAL, color_matrix),
        50728: (_RATIONAL, [1 / gain for gain in white_balance]),  # AsShotNeutral
    }
    if active_area is not None:
        tags[50829] = (_LONG, active_area)
    exif: Tags = {
        33434: (_RATIONAL, [exposure_time]),
        33437: (_RATIONAL, [aperture]),
        34855: (_SHORT, [min(iso, 65535)]),
        36867: (_ASCII, "2018:06:18 00:00:00"),  # a fixed date, so that files repeat bit for bit
    }
    return _container(tags, exif, strip)


def _check(
    mosaic: np.ndarray,
    pattern: str,
    black_level: Union[int, Sequence[int]],
    bits: int,
    compression: str,
) -> None:
    if mosaic.ndim != 2 or mosaic.dtype.kind != "u":
        raise ValueError(f"mosaic must be (H, W) unsigned integers, not {mosaic.shape} {mosaic.dtype}")
    if not 8 <= bits <= 16 or int(mosaic.max()) >= 1 << bits:
        raise ValueError(f"values up to {mosaic.max()} do not fit {bits} bits (8-16 are possible)")
    if pattern not in BAYER_PATTERNS and not (len(pattern) == 36 and set(pattern) <= set("RGB")):
        raise ValueError(f"pattern must be one of {BAYER_PATTERNS} or 36 letters R, G, B, not {pattern!r}")
    if np.size(black_level) not in (1, len(pattern)):
        raise ValueError(f"black_level needs 1 or {len(pattern)} numbers, not {np.size(black_level)}")
    if compression not in ("none", "lossless jpeg"):
        raise ValueError(f"compression must be 'none' or 'lossless jpeg', not {compression!r}")


def _packed(mosaic: np.ndarray, bits: int) -> bytes:
    """Return little-endian 16-bit samples; below 16 bits, big-endian bit rows padded to whole bytes."""
    if bits == 16:
        return mosaic.astype("<u2").tobytes()
    height, width = mosaic.shape
    sample_bits = np.unpackbits(mosaic.astype(">u2").view(np.uint8).reshape(height, width, 2), axis=2)
    return np.packbits(sample_bits[:, :, 16 - bits :].reshape(height, -1), axis=1).tobytes()


def _container(tags: Tags, exif: Tags, strip: bytes) -> bytes:
    """Return TIFF header, IFD0 and its values, Exif IFD and its values, pixel data."""
    tags[_EXIF_IFD] = (_LONG, [0])
    exif_offset = 8 + len(_ifd(tags, 8))
    exif_bytes = _ifd(exif, exif_offset)
    tags[_EXIF_IFD] = (_LONG, [exif_offset])
    tags[_STRIP_OFFSET] = (_LONG, [exif_offset + len(exif_bytes)])
    return struct.pack("<2sHI", b"II", 42, 8) + _ifd(tags, 8) + exif_bytes + strip


def _ifd(tags: Tags, offset: int) -> bytes:
    """Return a directory that starts at byte `offset`, and the values that do not fit into it."""
    entries, overflow = b"", b""
    overflow_offset = offset + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        packed, count = _values(kind, values)
        if len(packed) > 4:
            field = struct.pack("<I", overflow_offset + len(overflow))
            overflow += packed + b"\0" * (len(packed) % 2)  # values start on even bytes
        else:
            field = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + field
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + overflow


def _values(kind: int, values: Union[Sequence, str]) -> tuple[bytes, int]:
    if isinstance(values, str):
        packed = values.encode("ascii") + b"\0"
        return packed, len(packed)
    numbers = values
    if kind in (_RATIONAL, _SRATIONAL):
        fractions = [Fraction(value).limit_denominator(1_000_000) for value in values]
        numbers = [part for f in fractions for part in (f.numerator, f.denominator)]
    return b"".join(struct.pack("<" + _FORMAT[kind][0], number) for number in numbers), len(values)


def lossless_jpeg(mosaic: np.ndarray, bits: int) -> bytes:
    """Encode a (H, W) array of `bits`-bit unsigned values (2-16) as one lossless JPEG.

    That is ITU-T T.81, process 14, with predictor 1.
    """
    height, width = mosaic.shape
    samples = mosaic.astype(np.int32)
    predicted = np.empty_like(samples)
    predicted[:, 1:] = samples[:, :-1]
    predicted[1:, 0] = samples[:-1, 0]
    predicted[0, 0] = 1 << (bits - 1)
    # Differences are modulo 2^16, from -32767 to 32768 (T.81, H.1.2.1).
    difference = ((samples - predicted + 32767) & 0xFFFF) - 32767

    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHB3B", bits, height, width, 1, 0, 0x11, 0)),
            _segment(0xC4, bytes([0, *(_CATEGORIES * (i == _CODE_BITS) for i in range(1, 17)), *range(17)])),
            _segment(0xDA, bytes([1, 0, 0, 1, 0, 0])),
            _entropy_coded(difference.ravel()),
            b"\xff\xd9",
        ]
    )


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _entropy_coded(difference: np.ndarray) -> bytes:
    """Return category codes, each followed by the low bits of its difference; 0xFF bytes are stuffed."""
    category = np.frexp(np.abs(difference).astype(np.float64))[1]  # bit length of |difference|
    extra_bits = np.where(category == 16, 0, category)  # category 16 is the number 32768, without bits
    extra = np.where(difference < 0, difference - 1, difference) & ((1 << extra_bits) - 1)
    value = (category << extra_bits) | extra
    length = extra_bits + _CODE_BITS
    start = np.cumsum(length) - length
    stream = np.ones(round_up(int(length.sum()), 8), np.uint8)  # padded with ones to a whole byte
    for k in range(int(length.max())):
        longer = length > k
        stream[start[longer] + k] = (value[longer] >> (length[longer] - 1 - k)) & 1
    return np.packbits(stream).tobytes().replace(b"\xff", b"\xff\x00")
