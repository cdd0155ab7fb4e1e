"""Pictures in memory: NumPy arrays and Pillow's images, as `read_with_form` returns those of files."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from paddle_restore.data.formats import NotSupported
from paddle_restore.data.image import Form, upright_with_form
from paddle_restore.data.pillow import PillowPicture
from paddle_restore.errors import UserError, line_of

_PILLOW_8_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")


def array_with_form(array: np.ndarray) -> tuple[np.ndarray, Form]:
    """Return (H, W, 3) uint8, uint16 or float32 in [0, 1], and the form to write the restored picture in.

    `array` is (H, W) or (H, W, 1) grey, (H, W, 2) grey with alpha, (H, W, 3) RGB or (H, W, 4) RGBA of uint8,
    uint16 or float in [0, 1]. Raises UserError for others.
    """
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if not array.size or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))):
        raise UserError(
            "a picture has the shape (H, W, 3) or (H, W), or (H, W, 4) or (H, W, 2) with alpha, and this "
            f"array {array.shape}"
        )
    array = _numbers(array)
    alpha = array[..., -1].copy() if array.ndim == 3 and array.shape[2] in (2, 4) else None
    grey = array.ndim == 2 or array.shape[2] == 2
    if grey:
        array = np.repeat(array.reshape(*array.shape[:2], -1)[..., :1], 3, axis=2)
    return array[..., :3], Form(16 if array.dtype == np.uint16 else 8, grey, alpha)


def image_with_form(image: Image.Image) -> tuple[np.ndarray, Form]:
    """Return a Pillow image as `array_with_form` does, upright, with its profile and EXIF.

    Raises UserError for animations, CMYK without a profile, and numbers that `array_with_form` does not take.
    """
    if image.mode not in _PILLOW_8_BITS:
        return array_with_form(np.asarray(image))
    try:
        return upright_with_form(PillowPicture(io.BytesIO(), lambda _: image))
    except NotSupported as error:
        raise UserError(f"the picture {error}") from None
    except Exception as error:  # Pillow raises anything for a broken file
        raise UserError(f"the picture cannot be read ({line_of(error, 200)})") from error


def _numbers(array: np.ndarray) -> np.ndarray:
    """Return uint8, uint16 or float32 in [0, 1]."""
    if array.dtype in (np.uint8, np.uint16):
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind != "f":
        raise UserError(f"a picture is uint8, uint16 or float, and this array {array.dtype}")
    if not np.isfinite(array).all():
        raise UserError("the picture holds NaN or infinite values")
    if array.min() < -1e-3 or array.max() > 1 + 1e-3:
        raise UserError(
            f"a float picture lies in [0, 1], and this array in [{array.min():g}, {array.max():g}]; "
            "divide it, or give integers"
        )
    return array.astype(np.float32, copy=False)
