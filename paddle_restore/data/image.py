"""Pictures: PNG, JPEG, TIFF and WebP of 8 or 16 bit, as (H, W, 3) RGB arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from paddle_restore.data.files import atomic_path
from paddle_restore.errors import UserError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"}


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture: (H, W, 3) RGB, uint8 or uint16 as stored.

    Raises UserError for files that are missing, broken or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if not is_picture(path):
        raise UserError(f"{path}: is not a PNG, JPEG, TIFF or WebP picture")
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH) if data.size else None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: cannot be read as an 8- or 16-bit picture; the file is broken or cut short")
    return image


def write_image(path: str | Path, image: np.ndarray, depth: int = 8) -> None:
    """Write an (H, W, 3) RGB picture, float [0, 1] or integer, in the format of the name's suffix.

    A float picture is rounded to `depth` (8 or 16) bits. JPEG and WebP are 8 bit always.
    """
    path = Path(path)
    if not is_picture(path):
        raise UserError(f"{path}: choose a name that ends in .png, .jpg, .tif or .webp")
    eight_only = path.suffix.lower() in {".jpg", ".jpeg", ".webp", ".bmp"}
    if image.dtype not in (np.uint8, np.uint16):
        image = to_integer(image, 8 if eight_only else depth)
    elif eight_only and image.dtype == np.uint16:
        image = to_integer(to_float(image), 8)
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix.lower() in {".jpg", ".jpeg"} else []
    good, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not good:
        raise UserError(f"{path}: the picture of {image.shape[1]}x{image.shape[0]} pixels cannot be encoded")
    with atomic_path(path) as temporary:
        encoded.tofile(temporary)


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> float32 in [0, 1]; float passes as float32."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype == np.uint16:
        return image.astype(np.float32) / np.float32(65535)
    return image.astype(np.float32, copy=False)


def to_integer(image: np.ndarray, depth: int = 8) -> np.ndarray:
    """float in [0, 1] (values outside are clipped) -> uint8 or uint16, rounded to nearest."""
    top = 2**depth - 1
    return np.rint(np.clip(image, 0, 1) * top).astype(np.uint8 if depth == 8 else np.uint16)


def crop_or_pad(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(C, H, W) -> (C, height, width): cut at the bottom and right, or continue by reflection.

    Grows each side to less than twice its length.
    """
    image = image[:, :height, :width]
    bottom, right = height - image.shape[1], width - image.shape[2]
    if not (bottom or right):
        return image
    return np.pad(image, ((0, 0), (0, bottom), (0, right)), mode="reflect")
