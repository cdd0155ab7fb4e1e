"""What a raw file says of its camera and of the exposure: what a DNG needs besides the mosaic.

Source: Adobe, Digital Negative Specification 1.6, chapters 4 (tags) and 6 (colours).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
import rawpy
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.data.dng_file import RATIONAL, SHORT, SRATIONAL, directory
from paddle_restore.data.metadata import (
    NO_METADATA,
    Metadata,
    copied,
    merged,
    read_sensor_tags,
)
from paddle_restore.data.raw import open_raw
from paddle_restore.data.raw_metadata import raw_metadata

UNIQUE_MODEL, NEUTRAL, WHITE_XY, SERIAL_NUMBER = 50708, 50728, 50729, 50735
_COLOUR_MATRIX, _ILLUMINANT, _D65 = 50721, 50778, 21
_SCALE = 50718  # of width and height, which makes pixels square
_DNG_VERSION, _ACTIVE_AREA, _CROP_ORIGIN, _CROP_SIZE = 50706, 50829, 50719, 50720

_COLOURS = (
    *(_COLOUR_MATRIX, 50722, 52531),  # ColorMatrix: XYZ -> camera, for up to three illuminants
    *(_ILLUMINANT, 50779, 52529),  # CalibrationIlluminant
    *(52533, 52534, 52535),  # IlluminantData
    *(50723, 50724, 52530),  # CameraCalibration
    *(50725, 50726, 52538),  # ReductionMatrix
    *(50964, 50965, 52532),  # ForwardMatrix
    *(50931, 50932),  # CameraCalibrationSignature, ProfileCalibrationSignature
    *(50934, 50936, 50941, 50942),  # AsShotProfileName, ProfileName, -EmbedPolicy, -Copyright
    *(50937, 50938, 50939, 52537, 51107),  # ProfileHueSatMap: dimensions, data, encoding
    *(50981, 50982, 51108),  # ProfileLookTable
    50940,  # ProfileToneCurve
)
# Of no use without these: the noise profile and the list of dead pixels, which are the old mosaic's, and
# levels, linearization and masked areas, which LibRaw has applied.
_OTHERS = (
    *(UNIQUE_MODEL, 50709, SERIAL_NUMBER, 50736),  # LocalizedCameraModel, LensInfo
    *(50727, NEUTRAL, WHITE_XY),  # AnalogBalance
    *(50730, 51109, 51110),  # BaselineExposure, BaselineExposureOffset, DefaultBlackRender
    *(50732, 50733, 50734),  # BaselineSharpness, BayerGreenSplit, LinearResponseLimit
    *(50737, 50738, 50739),  # ChromaBlurRadius, AntiAliasStrength, ShadowScale
    *(_SCALE, 50780, 51125),  # DefaultScale, BestQualityScale, DefaultUserCrop
    *(51009, 51022),  # OpcodeList2 (the lens's shading), OpcodeList3 (its distortion)
)

_XYZ_TO_SRGB = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])


def _colours_of(matrix: np.ndarray) -> Directory:
    """Return the tags of a matrix XYZ (D65) -> camera RGB, (3, 3)."""
    numbers = tuple(matrix.ravel().tolist())
    return directory({_COLOUR_MATRIX: (SRATIONAL, numbers), _ILLUMINANT: (SHORT, _D65)})


@dataclass(frozen=True)
class CameraFacts:
    """Camera and exposure of a raw file. Without arguments: a camera that sees sRGB.

    tags      DNG's tags of colour, baseline exposure, pixel shape and lens corrections
    crop      top, left, height and width of the picture in the visible mosaic; None for all of it
    metadata  make, model, exposure, lens, date, place and the like
    """

    tags: Directory = field(default_factory=lambda: _colours_of(_XYZ_TO_SRGB))
    crop: Optional[tuple[int, int, int, int]] = None
    metadata: Metadata = NO_METADATA


def read_camera(path: str | Path) -> CameraFacts:
    """Read the facts of a raw file. Raises UserError for files that LibRaw cannot open.

    A DNG's own colours are taken as they are. Other files get LibRaw's matrix of the camera. A camera that
    LibRaw does not know gets the matrix of one that sees sRGB after its white balance.
    """
    path = Path(path)
    sensor = read_sensor_tags(path)
    is_dng = _DNG_VERSION in sensor
    with open_raw(path) as raw:
        tags = _dng_tags(sensor) if is_dng else Directory()
        if _COLOUR_MATRIX not in tags:
            tags = merged(tags, _colours_of(_libraw_matrix(raw)))
        if not is_dng and raw.sizes.pixel_aspect != 1:
            tags = merged(tags, directory({_SCALE: (RATIONAL, (raw.sizes.pixel_aspect, 1.0))}))
        crop = _dng_crop(sensor, raw.sizes) if is_dng else _libraw_crop(raw.sizes)
    return CameraFacts(tags, crop, raw_metadata(path))


def _dng_tags(sensor: Directory) -> Directory:
    """Return a DNG's tags of which the matrix and the neutral colour make sense."""
    names = set(_OTHERS)
    matrix = _numbers(sensor, _COLOUR_MATRIX, 9)
    if matrix is not None and abs(np.linalg.det(matrix.reshape(3, 3))) > 1e-6:
        names |= set(_COLOURS)
    neutral = _numbers(sensor, NEUTRAL, 3)
    if neutral is None or neutral.min() <= 0:
        names -= {NEUTRAL}
    return copied(sensor, names)


def _libraw_matrix(raw: rawpy.RawPy) -> np.ndarray:
    """Return the matrix XYZ -> camera RGB by which LibRaw develops a file that is no DNG."""
    known = raw.rgb_xyz_matrix[:3].astype(np.float64)
    if abs(np.linalg.det(known)) > 1e-6:
        return known
    # As LibRaw: what has the white balance is sRGB.
    for multipliers in (raw.daylight_whitebalance, raw.camera_whitebalance):
        gains = np.array(multipliers[:3], np.float64)
        if np.isfinite(gains).all() and gains.min() > 0:
            return _XYZ_TO_SRGB * (gains[1] / gains)[:, None]
    return _XYZ_TO_SRGB


def _dng_crop(sensor: Directory, sizes: rawpy.ImageSizes) -> Optional[tuple[int, int, int, int]]:
    origin, size = _numbers(sensor, _CROP_ORIGIN, 2), _numbers(sensor, _CROP_SIZE, 2)
    if origin is None or size is None:
        return None
    area = _numbers(sensor, _ACTIVE_AREA, 4)
    top, left = (0, 0) if area is None else area[:2]  # LibRaw rounds them to whole periods
    row, column = top + origin[1] - sizes.top_margin, left + origin[0] - sizes.left_margin
    return _inside((row, column, size[1], size[0]), sizes)


def _libraw_crop(sizes: rawpy.ImageSizes) -> Optional[tuple[int, int, int, int]]:
    row, column = sizes.crop_top_margin - sizes.top_margin, sizes.crop_left_margin - sizes.left_margin
    return _inside((row, column, sizes.crop_height, sizes.crop_width), sizes)


def _inside(crop: tuple, sizes: rawpy.ImageSizes) -> Optional[tuple[int, int, int, int]]:
    """Return a crop's part of the visible frame in whole pixels; None if that is not half of its sides."""
    top, left, height, width = (round(float(number)) for number in crop)
    bottom, right = min(top + height, sizes.height), min(left + width, sizes.width)
    top, left = max(top, 0), max(left, 0)
    if 2 * (bottom - top) < sizes.height or 2 * (right - left) < sizes.width:
        return None
    return top, left, bottom - top, right - left


def _numbers(tags: Directory, name: int, count: int) -> Optional[np.ndarray]:
    """Return the finite numbers of a tag, None if there are not `count` of them."""
    try:
        numbers = np.array([float(number) for number in tags.get(name, ())])
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == (count,) and np.isfinite(numbers).all() else None
