"""Pictures: PNG, JPEG, TIFF, WebP and BMP of 8 or 16 bit, as (H, W, 3) RGB arrays that are upright.

Colours are never converted: pixels stay in the colour space of the file's ICC profile, which goes
along (`Form.metadata`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from paddle_restore.data.files import atomic_path
from paddle_restore.data.headers import Header, NotSupported, read_header
from paddle_restore.data.metadata import NO_METADATA, Metadata, embed
from paddle_restore.data.pixels import crop_or_pad as crop_or_pad
from paddle_restore.data.pixels import strips, to_float, to_integer, upright
from paddle_restore.data.tiff import encode_tiff
from paddle_restore.data.whole import is_whole
from paddle_restore.errors import UserError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp"}
MAX_PIXELS = 500_000_000
JPEG_QUALITY = 95
_EIGHT_BITS = {".jpg", ".jpeg", ".webp", ".bmp"}
_OPAQUE = {".jpg", ".jpeg", ".bmp"}

# EXIF's orientation (its table 6) -> the bits of `upright`.
_TURNS = (0, 0, 1, 3, 2, 4, 6, 7, 5)

# A broken file is one line of ours, not several of OpenCV's. The setter's name is 5's, or 4's.
(cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2).setLogLevel(0)


@dataclass(frozen=True)
class Form:
    """What a picture file holds beside three colours, so that a restored picture is written alike.

    depth     8 or 16 bits
    grey      the file has one channel: it is read as three equal ones and written as their mean
    alpha     (H, W) opacity in the file's integer type, which no network sees, or None
    metadata  colour profile, EXIF and resolution, for `write_image`
    """

    depth: int = 8
    grey: bool = False
    alpha: Optional[np.ndarray] = None
    metadata: Metadata = NO_METADATA

    def shape(self, picture: np.ndarray, depth: Optional[int] = None) -> np.ndarray:
        """(H, W, 3), float in [0, 1] or integers -> (H, W), (H, W, 3) or (H, W, 4) of `depth` bits."""
        depth = depth or self.depth
        if self.grey:
            return to_integer(to_float(picture).mean(axis=2), depth)
        colours = to_integer(picture, depth)
        if self.alpha is None:
            return colours
        return np.dstack([colours, to_integer(to_float(self.alpha), depth)])


PLAIN = Form()


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture: (H, W, 3) RGB, uint8 or uint16 as stored; grey becomes three equal channels.

    A 32-bit float TIFF in [0, 1] comes as uint16. Pictures are turned as their EXIF orientation
    says. The format is known by content, whatever the name says. Raises UserError for files that
    are missing, broken, of another format, of several pictures, or of more than `max_pixels`.
    """
    return read_with_form(path, max_pixels)[0]


def read_with_form(path: str | Path, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, Form]:
    """Read a picture as `read_image` does, and the form to write its successor in.

    Grey with alpha comes back as four channels. Raises UserError like `read_image`.
    """
    path = Path(path)
    header = _header(path)
    if header.height * header.width > max_pixels:
        size = f"{header.width}x{header.height}"
        raise UserError(
            f"{path}: has {size} = {header.height * header.width / 1e6:.1f} million pixels, and the limit is "
            f"{max_pixels / 1e6:g} million; raise it if the file is yours, or make the picture smaller"
        )
    stored = _decode(path, header)
    depth = 8 * stored.dtype.itemsize
    turn = _TURNS[header.orientation]
    metadata = Metadata.of(header)
    alpha = None
    if stored.ndim == 2:
        colours = cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
    elif stored.shape[2] == 4:
        # The fourth byte of a bitmap's pixel is mostly unused, and then 0.
        if header.format != "BMP":
            alpha = np.ascontiguousarray(upright(stored[..., 3], turn))
        colours = cv2.cvtColor(stored, cv2.COLOR_BGRA2RGB)
    else:
        colours = stored
        for rows in strips(colours):
            rows[:] = cv2.cvtColor(rows, cv2.COLOR_BGR2RGB)
    form = Form(depth, stored.ndim == 2, alpha, metadata)
    return np.ascontiguousarray(upright(colours, turn)), form


def image_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of the upright picture from its header. Raises UserError like `read_image`."""
    return _header(Path(path)).upright_size


def _header(path: Path) -> Header:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if not is_picture(path):
        raise UserError(f"{path}: is not a PNG, JPEG, TIFF or WebP picture")
    try:
        with path.open("rb") as file:
            return read_header(file)
    except NotSupported as error:
        raise UserError(f"{path}: {error}") from None
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as a picture; {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _decode(path: Path, header: Header) -> np.ndarray:
    """Return the picture as it is stored, in OpenCV's order of channels, uint8 or uint16."""
    broken = UserError(
        f"{path}: cannot be read as an 8- or 16-bit {header.format} picture; the file is broken or cut short"
    )
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not is_whole(memoryview(data), header):
        raise broken
    for place, value in header.amend:
        data[place : place + len(value)] = np.frombuffer(value, np.uint8)
    try:
        # "Unchanged" turns nothing. Not IMREAD_COLOR_RGB: OpenCV 5.0 fills 16-bit TIFF with garbage by it.
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is not None and image.dtype == np.float32 and header.floating:
        return _from_float(path, image)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise broken
    if image.shape[:2] != (header.height, header.width):
        raise broken
    return image


def _from_float(path: Path, image: np.ndarray) -> np.ndarray:
    lowest, highest = float(image.min()), float(image.max())
    if not np.isfinite(lowest + highest):
        raise UserError(f"{path}: has NaN or infinite pixels; repair them first")
    if lowest < 0 or highest > 1:
        raise UserError(
            f"{path}: has numbers from {lowest:g} to {highest:g}; scale a floating-point picture to [0, 1]"
        )
    return to_integer(image, 16)


def write_image(
    path: str | Path,
    image: np.ndarray,
    depth: int = 8,
    metadata: Optional[Metadata] = None,
    quality: Optional[int] = None,
) -> None:
    """Write a picture, float [0, 1] or integer, in the format of the name's suffix.

    `image` is RGB (H, W, 3), RGBA (H, W, 4) or grey (H, W). A float picture is rounded to `depth`
    (8 or 16) bits. JPEG, WebP and BMP are 8 bit always; JPEG and BMP drop the alpha channel.
    `metadata` is written where the format has room for it; None writes none. `quality` (1 to 100)
    is JPEG's, 95 without, and WebP's, which is lossless without. Raises UserError for what the
    format cannot hold, and where the file cannot be written.
    """
    path = Path(path)
    if not is_picture(path):
        raise UserError(f"{path}: choose a name that ends in .png, .jpg, .tif or .webp")
    suffix = path.suffix.lower()
    image = _storable(image, suffix, depth)
    try:
        parts = _encode(image, suffix, metadata or NO_METADATA, quality)
    except (ValueError, cv2.error):
        raise UserError(
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels cannot be encoded as {suffix[1:].upper()}; "
            "choose .png or .tif"
        ) from None
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for part in parts:
            file.write(part)


def _encode(image: np.ndarray, suffix: str, metadata: Metadata, quality: Optional[int]) -> list:
    """Return the parts of a file. Raises ValueError or cv2.error for what the format cannot hold."""
    size = (*image.shape, 1)[:3]
    if suffix in (".tif", ".tiff"):
        return encode_tiff(image, metadata.of_tiff(*size))
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if size[2] == 4 else cv2.COLOR_RGB2BGR)
    options = []  # PNG's are OpenCV's quickest already (docs/pictures.md)
    if suffix in (".jpg", ".jpeg"):
        options = [cv2.IMWRITE_JPEG_QUALITY, quality or JPEG_QUALITY]
    elif suffix == ".webp" and quality:
        options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    good, encoded = cv2.imencode(suffix, image, options)
    if not good:
        raise ValueError("the encoder refused")
    return embed(memoryview(encoded).cast("B"), suffix, size, metadata)


def _storable(image: np.ndarray, suffix: str, depth: int) -> np.ndarray:
    """Integers of the depth and channels that the format has."""
    if image.dtype not in (np.uint8, np.uint16):
        image = to_integer(image, 8 if suffix in _EIGHT_BITS else depth)
    elif suffix in _EIGHT_BITS and image.dtype == np.uint16:
        image = to_integer(to_float(image), 8)
    if image.ndim == 3 and image.shape[2] == 4 and suffix in _OPAQUE:
        image = image[..., :3]
    return np.ascontiguousarray(image)
