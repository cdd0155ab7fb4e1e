"""Pictures: PNG, JPEG, TIFF and WebP of 8 or 16 bit, as (H, W, 3) RGB arrays."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from paddle_restore.data.files import atomic_path
from paddle_restore.errors import UserError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"}
_EIGHT_BITS = {".jpg", ".jpeg", ".webp", ".bmp"}
_OPAQUE = {".jpg", ".jpeg", ".bmp"}
_PNG = b"\x89PNG\r\n\x1a\n"

# A broken file is one line of ours, not several of OpenCV's. OpenCV 4 and 5 keep this in two places.
_set_log_level = cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
_set_log_level(0)  # silent


@dataclass(frozen=True)
class Form:
    """What a picture file holds beside three colours, so that a restored picture is written alike.

    depth  8 or 16 bits
    grey   the file has one channel: it is read as three equal ones and written as their mean
    alpha  (H, W) opacity in the file's integer type, which no network sees, or None
    """

    depth: int = 8
    grey: bool = False
    alpha: Optional[np.ndarray] = None

    def shape(self, picture: np.ndarray, depth: Optional[int] = None) -> np.ndarray:
        """(H, W, 3) float in [0, 1] -> (H, W), (H, W, 3) or (H, W, 4) integers of `depth` bits."""
        depth = depth or self.depth
        if self.grey:
            return to_integer(picture.mean(axis=2), depth)
        colours = to_integer(picture, depth)
        if self.alpha is None:
            return colours
        return np.dstack([colours, to_integer(to_float(self.alpha), depth)])


PLAIN = Form()


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture: (H, W, 3) RGB, uint8 or uint16 as stored; grey becomes three equal channels.

    Raises UserError for files that are missing, broken or of another format.
    """
    return _decode_colours(Path(path), _bytes(Path(path)))


def read_with_form(path: str | Path) -> tuple[np.ndarray, Form]:
    """Read a picture as `read_image` does, and the form to write its successor in.

    Grey with alpha comes back as four channels. Raises UserError like `read_image`.
    """
    path = Path(path)
    data = _bytes(path)
    stored = _decode(path, data, cv2.IMREAD_UNCHANGED)
    depth = 8 * stored.dtype.itemsize
    if stored.ndim == 3 and stored.shape[2] == 4:
        return cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB), Form(depth, alpha=stored[..., 3])
    # Decoded again because "unchanged" leaves a JPEG lying on its side that says to turn it.
    return _decode_colours(path, data), Form(depth, grey=stored.ndim == 2)


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width): of a PNG from its first bytes, of others by decoding them."""
    path = Path(path)
    if path.suffix.lower() == ".png":
        try:
            with path.open("rb") as file:
                head = file.read(24)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
        if len(head) == 24 and head[:8] == _PNG and head[12:16] == b"IHDR":
            return int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
    return read_image(path).shape[:2]


def _bytes(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if not is_picture(path):
        raise UserError(f"{path}: is not a PNG, JPEG, TIFF or WebP picture")
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _decode(path: Path, data: np.ndarray, flags: int) -> np.ndarray:
    image = cv2.imdecode(data, flags) if data.size and _png_is_whole(data) else None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: cannot be read as an 8- or 16-bit picture; the file is broken or cut short")
    return image


def _decode_colours(path: Path, data: np.ndarray) -> np.ndarray:
    # Not IMREAD_COLOR_RGB, by which OpenCV 5.0 fills 16-bit TIFF with garbage.
    return cv2.cvtColor(_decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH), cv2.COLOR_BGR2RGB)


def _png_is_whole(data: np.ndarray) -> bool:
    """False for a PNG whose chunks are cut short or damaged; libpng would print about it itself."""
    view = memoryview(data)
    if view[:8] != _PNG:
        return True
    place = 8
    while place + 12 <= len(view):
        length = int.from_bytes(view[place : place + 4], "big")
        kind, end = bytes(view[place + 4 : place + 8]), place + 8 + length
        if zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            return True
        place = end + 4
    return False


def write_image(path: str | Path, image: np.ndarray, depth: int = 8) -> None:
    """Write a picture, float [0, 1] or integer, in the format of the name's suffix.

    `image` is RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W). A float picture is rounded to `depth`
    (8 or 16) bits. JPEG, WebP and BMP are 8 bit always; JPEG and BMP drop the alpha channel.
    """
    path = Path(path)
    if not is_picture(path):
        raise UserError(f"{path}: choose a name that ends in .png, .jpg, .tif or .webp")
    suffix = path.suffix.lower()
    if image.dtype not in (np.uint8, np.uint16):
        image = to_integer(image, 8 if suffix in _EIGHT_BITS else depth)
    elif suffix in _EIGHT_BITS and image.dtype == np.uint16:
        image = to_integer(to_float(image), 8)
    if image.ndim == 3 and image.shape[2] == 4 and suffix in _OPAQUE:
        image = image[..., :3]
    if image.ndim == 3:
        image = cv2.cvtColor(
            np.ascontiguousarray(image),
            cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR,
        )
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in {".jpg", ".jpeg"} else []
    good, encoded = cv2.imencode(path.suffix, image, options)
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
