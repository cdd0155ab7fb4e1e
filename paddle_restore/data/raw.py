"""Camera raw files: any file that LibRaw opens becomes one small object.

Black level, white level and colour pattern come from the file, never from constants.
"""

from __future__ import annotations

import ctypes
import io
import math
import os
import re
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import numpy as np
import rawpy
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.data.files import check_readable
from paddle_restore.data.formats import format_of_name
from paddle_restore.data.metadata import LINEAR_RAW, PHOTOMETRIC, read_sensor_tags
from paddle_restore.data.mosaic import XTRANS, PerColour, RawImage, Rgb
from paddle_restore.errors import UserError
from paddle_restore.quiet import quiet

LIBRAW = ".".join(map(str, rawpy.libraw_version))

_MIN_XTRANS = 512
_SRGB_CURVE = (2.4, 12.92)
_COMPRESSION, _STRIP_BYTES, _TILE_BYTES, _DNG_VERSION = 259, 279, 325, 50706
_MIN_BITS = {1: 8, 7: 1}  # of a pixel that is not compressed, and in lossless JPEG
# TIFF's numbers of compressions that LibRaw lacks.
_COMPRESSIONS = {9: "VC-5 (GoPro's GPR)", 52546: "JPEG XL"}
# How files begin that say what they hold. LibRaw guesses some others from their size alone.
_HEADERS = (
    rb"II|MM|FUJIFILM|\0MRM|FOVb|\xff\xd8\xff|qktk|qktn|ARRI|NOKIARAW|DSC-Image|NIKO|STI|BM|AHEAD|PWAD"
    rb"|PXN|Raw\0|IIII|MMMM|XPDS|VCFF|.{4}(?:ftyp|RED[12]|XPDS)|.{6}HEAP|.{25}ARECOYK"
)
_START = 64
_importing_process = os.getpid()


def _use_one_thread_if_forked() -> None:
    """Let LibRaw work in one thread in a forked process, such as a data loader's worker.

    A fork does not copy OpenMP's threads: once the parent has developed a file, a forked process that
    wants the threads waits for ever.
    """
    if os.getpid() != _importing_process:
        # A symbol is looked up in the libraries that the module is linked with, too: LibRaw's own OpenMP.
        with suppress(OSError, AttributeError):  # built without OpenMP
            ctypes.CDLL(rawpy._rawpy.__file__).omp_set_num_threads(1)


def open_raw(path: Path) -> rawpy.RawPy:
    """Open a raw file. Raises UserError if it is missing, a picture, or nothing that LibRaw opens."""
    check_readable(path)
    kind = format_of_name(path)
    if kind is not None and not kind.raw_container:
        raise UserError(f"{path}: is a picture, not a raw file; a raw network needs the camera's own file")
    raw = _libraw()
    try:
        with quiet():
            if _is_utf8(path):
                raw.open_file(str(path))
            else:  # rawpy cannot name it to LibRaw
                raw.open_buffer(io.BytesIO(path.read_bytes()))
    except (rawpy.LibRawError, OSError) as error:
        raise _unreadable(path, error) from None
    _refuse_guess(path, raw)
    return raw


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def open_raw_bytes(data: bytes) -> rawpy.RawPy:
    """Open a raw file in memory that this package has written."""
    raw = _libraw()
    raw.open_buffer(io.BytesIO(data))
    return raw


def _libraw() -> rawpy.RawPy:
    _use_one_thread_if_forked()
    return rawpy.RawPy()  # rawpy.imread does the same, and warns in every forked process


def _refuse_guess(path: Path, raw: rawpy.RawPy) -> None:
    """Raise UserError for a file without a header, which LibRaw takes for an old camera's by its size."""
    with path.open("rb") as file:
        if re.match(_HEADERS, file.read(_START), re.DOTALL):
            return
    try:
        known = raw.other.iso_speed or raw.other.shutter_speed  # of a kind that is missing in the list
    except rawpy.LibRawError:
        known = False
    if not known:
        raise UserError(
            f"{path}: has no header that says its camera, size and levels, and LibRaw would guess them from "
            "the file's size; write the mosaic into a DNG first"
        )


def _unreadable(path: Optional[Path], error: Exception) -> UserError:
    reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else error
    hint = "the file is broken, cut short, or no raw file that LibRaw knows"
    if not path or not path.exists() or not path.stat().st_size:
        hint = "the file is empty"
    else:
        found = _COMPRESSIONS.get(read_sensor_tags(path).get(_COMPRESSION, 0))
        if found:
            hint = (
                f"its pixels are compressed by {found}, which LibRaw {LIBRAW} does not decode; "
                "convert it by Adobe's DNG Converter to a DNG that is compatible with older versions"
            )
    return UserError(f"{path}: cannot be read ({reason}); {hint}")


def read_raw(path: str | Path) -> RawImage:
    """Read a raw file. Raises UserError for files that LibRaw cannot open or that have no mosaic."""
    path = Path(path)
    with open_raw(path) as raw:
        try:
            with quiet():
                mosaic = raw.raw_image_visible
        except (rawpy.LibRawError, OSError) as error:
            raise _unreadable(path, error) from None
        pattern = _pattern(path, raw, mosaic)
        black = [float(value) for value in raw.black_level_per_channel]
        _check_complete(path, mosaic, min(black))
        return RawImage(
            mosaic=np.array(mosaic),  # a copy: LibRaw's buffer ends with the handle
            pattern=pattern,
            black_level=(black[0], black[1], black[2], black[3]),
            white_level=float(raw.white_level),
            white_balance=_white_balance(raw),
            exposure_time=float(raw.other.shutter_speed),
            iso=float(raw.other.iso_speed),
            orientation=int(raw.sizes.flip),
            path=path,
            pixel_aspect=float(raw.sizes.pixel_aspect),
            daylight=_daylight(raw),
        )


def _daylight(raw: rawpy.RawPy) -> Optional[Rgb]:
    """Return LibRaw's multipliers under daylight; None for a camera that it has no colour matrix of."""
    red, green, blue = (float(value) for value in raw.daylight_whitebalance[:3])
    return (red / green, 1.0, blue / green) if min(red, green, blue) > 0 else None


def _check_complete(path: Path, mosaic: np.ndarray, black: float) -> None:
    """Raise UserError if pixels are missing, which LibRaw leaves as they were in memory without a word."""
    tags = read_sensor_tags(path)
    stored = _total(tags, _STRIP_BYTES) or _total(tags, _TILE_BYTES)
    compression = tags.get(_COMPRESSION) if _DNG_VERSION in tags else None
    if 0 < stored * 8 < mosaic.size * _MIN_BITS.get(compression or 0, 0):
        raise UserError(
            f"{path}: {stored} bytes are too few for its {mosaic.shape[1]}x{mosaic.shape[0]} pixels; "
            "the file is broken or cut short"
        )
    # Where black is 0, dark rows may be 0 too.
    last = np.flatnonzero(mosaic.any(axis=1))
    rows = int(last[-1]) + 1 if last.size else 0
    if black > 0 and rows < len(mosaic):
        raise UserError(
            f"{path}: only {rows} of its {len(mosaic)} rows hold pixels; the file is broken or cut short"
        )


def _total(tags: Directory, name: int) -> int:
    """Return the sum of a tag's numbers, 0 without it."""
    value = tags.get(name, 0)
    return sum(
        number for number in (value if isinstance(value, tuple) else (value,)) if isinstance(number, int)
    )


def _white_balance(raw: rawpy.RawPy) -> PerColour:
    """Return the as-shot multipliers, or as LibRaw does without valid ones those of daylight."""
    for multipliers in (raw.camera_whitebalance, raw.daylight_whitebalance):
        red, green, blue, second_green = (float(value) for value in multipliers)
        if all(0 < value < math.inf for value in (red, green, blue)):
            return red, green, blue, second_green if 0 < second_green < math.inf else green
    return 1.0, 1.0, 1.0, 1.0


def has_mosaic(path: Path) -> bool:
    """Whether a raw file is not linear (demosaiced by a camera or phone) and not of a monochrome sensor.

    Looks at the header only. True for files that cannot be opened, whose error comes with reading.
    """
    if read_sensor_tags(path).get(PHOTOMETRIC) == LINEAR_RAW:
        return False
    try:
        with open_raw(path) as raw:
            return int(raw.num_colors) != 1
    except UserError:
        return True


def raw_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the whole sensor frame from the header. Raises UserError like `read_raw`."""
    with open_raw(Path(path)) as raw:
        return int(raw.sizes.raw_height), int(raw.sizes.raw_width)


def warn_of_black_level(raw: RawImage, black_level: Optional[float] = None) -> None:
    """Warn if a file reports black level 0 but its pixels do not; not if the recipe sets `black_level`.

    Some cameras do clip at 0, so the level is not changed. The warning names the level of the darkest
    thousandth of the pixels.
    """
    if black_level is not None or any(raw.black_level):
        return
    darkest = float(np.percentile(raw.mosaic[::4, ::4], 0.1))
    # Cameras with a black level above 0 have it at 3 to 13 per cent of the range.
    if darkest > 0.01 * raw.white_level:
        warnings.warn(
            f"{raw.path}: reports black level 0, but its darkest pixels are near {darkest:.0f}; "
            f"if pictures come out grey or tinted, set data.black_level={darkest:.0f} "
            f"(of restore: --black_level {darkest:.0f})",
            stacklevel=2,
        )


def _pattern(path: Path, raw: rawpy.RawPy, mosaic: Optional[np.ndarray]) -> str:
    if mosaic is None or mosaic.ndim != 2:
        raise UserError(
            f"{path}: holds no sensor mosaic (a linear or already demosaiced raw file); "
            "give it to a network for pictures"
        )
    if raw.num_colors == 1:
        raise UserError(f"{path}: comes from a sensor without colours; give it to a network for pictures")
    if min(mosaic.shape) < 12:
        raise UserError(f"{path}: the frame of {mosaic.shape[1]}x{mosaic.shape[0]} pixels is too small")
    names = raw.color_desc.decode()
    top, left = raw.sizes.top_margin, raw.sizes.left_margin
    try:
        # Pixel by pixel: rawpy's raw_colors is wrong for X-Trans files with wide margins.
        colours = np.array(
            [[names[raw.raw_color(top + row, left + column)] for column in range(12)] for row in range(12)]
        )
    except IndexError:
        raise UserError(f"{path}: holds no sensor mosaic with a colour pattern") from None
    for period in (2, 6):
        tile = colours[:period, :period]
        if (np.tile(tile, (12 // period, 12 // period)) == colours).all():
            pattern = "".join(tile.ravel())
            if sorted(pattern) == sorted("RGGB" if period == 2 else XTRANS):
                return pattern
            raise UserError(
                f"{path}: sensor with the colours {pattern} is not supported (Bayer RGB or X-Trans)"
            )
    raise UserError(f"{path}: the colour pattern is neither Bayer nor X-Trans")


def develop_picture(path: str | Path) -> np.ndarray:
    """Return LibRaw's upright sRGB picture of a raw file without a mosaic, uint16.

    (H, W, 3), or (H, W) of a monochrome sensor. Raises UserError like `read_raw`.
    """
    path = Path(path)
    with open_raw(path) as raw:
        picture = postprocess(raw, path, gamma=_SRGB_CURVE, adjust_maximum_thr=0)
    return picture[..., 0] if picture.shape[2] == 1 else picture


def develop(path: str | Path) -> np.ndarray:
    """Return LibRaw's picture of a raw file, (H, W, 3) uint16 sRGB: the targets of the SID authors.

    It has the camera's white balance, no automatic brightening and no rotation, so that its pixels are at
    the mosaic's positions. Raises UserError like `read_raw`.
    """
    path = Path(path)
    with open_raw(path) as raw:
        return postprocess(raw, path, user_flip=0)


def postprocess(raw: rawpy.RawPy, path: Optional[Path], **options: Any) -> np.ndarray:
    """Return LibRaw's picture, (H, W, 3) uint16: camera's white balance, no automatic brightening.

    `options` are rawpy's. Raises UserError, naming `path`, for what LibRaw cannot develop.
    """
    xtrans = raw.raw_pattern is not None and raw.raw_pattern.size == 36
    if xtrans and min(raw.sizes.height, raw.sizes.width) < _MIN_XTRANS:
        raise UserError(
            f"{path}: LibRaw demosaics no X-Trans frame below {_MIN_XTRANS}x{_MIN_XTRANS} pixels, "
            f"and this one has {raw.sizes.width}x{raw.sizes.height}"
        )
    try:
        with quiet():
            return raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16, **options)
    except (rawpy.LibRawError, OSError) as error:
        raise _unreadable(path, error) from None
