"""Raw files from arrays: the smallest DNG that LibRaw opens like a camera's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

from paddle_restore.data.dng_file import (
    ASCII,
    DOUBLE,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    Tags,
    directory,
    dng_file,
)
from paddle_restore.data.files import atomic_path
from paddle_restore.data.metadata import EXIF, MAIN

BAYER_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
XTRANS_PATTERN = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"
"""Fujifilm's 6x6 pattern, row by row, as the X-T2 has it."""

SRGB_COLOR_MATRIX = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
"""XYZ -> linear sRGB (IEC 61966-2-1), row by row: the matrix of a camera that sees sRGB."""

_FIXED_TAGS: Tags = {
    271: (ASCII, "paddle_restore"),  # Make
    50778: (SHORT, 21),  # CalibrationIlluminant1: D65
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
    noise_profile: Sequence[float] | None = None,
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
    noise_profile  S and O of the noise's variance, once or for each colour; None writes none
    bits           bits per stored sample, 8-16; below 16 the rows are packed
    compression    "none" or "lossless jpeg"

    Raises ValueError for a field that does not fit the others.
    """
    _check(mosaic, pattern, black_level, bits, compression)
    period = 2 if len(pattern) == 4 else 6
    blacks = np.atleast_1d(black_level).tolist()
    tags = {
        **_FIXED_TAGS,
        272: (ASCII, model),
        274: (SHORT, orientation),
        50708: (ASCII, f"paddle_restore {model}"),  # UniqueCameraModel
        50713: (SHORT, (period, period) if len(blacks) > 1 else (1, 1)),  # BlackLevelRepeatDim
        50714: (LONG, tuple(blacks)),
        50717: (LONG, white_level),
        50721: (SRATIONAL, tuple(color_matrix)),
        50728: (RATIONAL, tuple(1 / gain for gain in white_balance)),  # AsShotNeutral
    }
    if active_area is not None:
        tags[50829] = (LONG, tuple(active_area))
    if noise_profile is not None:
        tags[51041] = (DOUBLE, tuple(noise_profile))
    exif: Tags = {
        33434: (RATIONAL, exposure_time),
        33437: (RATIONAL, aperture),
        34855: (SHORT, min(iso, 65535)),
        36867: (ASCII, "2018:06:18 00:00:00"),  # a fixed date, so that files repeat bit for bit
    }
    directories = {MAIN: directory(tags), EXIF: directory(exif, EXIF)}
    return dng_file(mosaic, pattern, bits, directories, compression == "lossless jpeg")


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
