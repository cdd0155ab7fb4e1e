"""Camera raw files: any file that LibRaw opens becomes one small object.

Black level, white level and colour pattern come from the file, never from constants.
"""

from __future__ import annotations

import ctypes
import io
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import numpy as np
import rawpy

from paddle_restore.data.files import check_readable
from paddle_restore.data.formats import format_of_name
from paddle_restore.data.mosaic import XTRANS, RawImage
from paddle_restore.errors import UserError
from paddle_restore.quiet import quiet

_MIN_XTRANS = 512
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


def _unreadable(path: Optional[Path], error: Exception) -> UserError:
    reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else error
    size = path.stat().st_size if path and path.exists() else 0
    hint = (
        "the file is empty" if not size else "the file is broken, cut short, or no raw file that LibRaw knows"
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
        red, green, blue, second_green = (float(value) for value in raw.camera_whitebalance)
        black = [float(value) for value in raw.black_level_per_channel]
        return RawImage(
            mosaic=np.array(mosaic),  # a copy: LibRaw's buffer ends with the handle
            pattern=pattern,
            black_level=(black[0], black[1], black[2], black[3]),
            white_level=float(raw.white_level),
            white_balance=(red, green, blue, second_green or green),
            exposure_time=float(raw.other.shutter_speed),
            iso=float(raw.other.iso_speed),
            orientation=int(raw.sizes.flip),
            path=path,
        )


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
            f"if pictures come out grey or tinted, set data.black_level={darkest:.0f}",
            stacklevel=2,
        )


def _pattern(path: Path, raw: rawpy.RawPy, mosaic: Optional[np.ndarray]) -> str:
    if mosaic is None or mosaic.ndim != 2:
        raise UserError(f"{path}: holds no sensor mosaic (a linear or already demosaiced raw file)")
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
