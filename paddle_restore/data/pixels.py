"""Arrays of pixels: number types, turning, flipping, random windows."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, Optional

import cv2
import numpy as np

from paddle_restore.errors import UserError

ROWS = 256
"""Rows of a picture that are worked on at once: a picture may have a gigabyte, and its copies too."""


Flips = tuple[bool, bool, bool]
"""Reverse rows, reverse columns, then transpose."""


def strips(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield views of `ROWS` rows each."""
    return (image[row : row + ROWS] for row in range(0, len(image), ROWS))


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> float32 in [0, 1]; float passes as float32."""
    if image.dtype in (np.uint8, np.uint16):
        return np.divide(image, np.float32(np.iinfo(image.dtype).max), dtype=np.float32)
    return image.astype(np.float32, copy=False)


def stretch_to_16_bits(image: np.ndarray, depth: int) -> np.ndarray:
    """uint16 with values below 2**depth -> uint16 with the whole range."""
    stretched = np.empty_like(image)
    for rows, stored in zip(strips(image), strips(stretched)):
        stored[:] = np.rint(np.minimum(rows, 2**depth - 1) * np.float32(65535 / (2**depth - 1)))
    return stretched


def to_integer(image: np.ndarray, depth: int = 8) -> np.ndarray:
    """float in [0, 1] -> uint8 or uint16, clipped and rounded to nearest.

    Integers of the other depth are converted; integers of this depth pass.
    """
    highest = 2**depth - 1
    integers = np.empty(image.shape, np.uint8 if depth == 8 else np.uint16)
    if image.dtype == integers.dtype:
        return image
    for rows, stored in zip(strips(image), strips(integers)):
        stored[:] = np.rint(np.clip(to_float(rows), 0, 1) * highest)
    return integers


def read_bytes(file: BinaryIO) -> np.ndarray:
    """Return all bytes of an open file, uint8, which may be written to."""
    data = np.empty(file.seek(0, io.SEEK_END), np.uint8)
    file.seek(0)
    data = data[: file.readinto(data)]  # type: ignore[attr-defined]
    file.seek(0)
    return data


def decode_by_opencv(data: np.ndarray) -> np.ndarray:
    """Decode a file's bytes as they are stored: (H, W), (H, W, 3) RGB or (H, W, 4) RGBA.

    Raises any exception if the file is broken.
    """
    # "Unchanged" turns nothing. Not IMREAD_COLOR_RGB: OpenCV 5.0 fills 16-bit TIFF with garbage by it.
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV cannot decode it")
    if pixels.ndim == 3:
        code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        for rows in strips(pixels):
            rows[:] = cv2.cvtColor(rows, code)
    return pixels


def divide_by_opacity(pixels: np.ndarray) -> None:
    """Change colours that were multiplied by their opacity into plain ones; transparent pixels stay."""
    highest = np.iinfo(pixels.dtype).max
    for rows in strips(pixels):
        colours, opacity = rows[..., :-1], rows[..., -1:].astype(np.float32)
        plain = np.rint(colours * (highest / np.maximum(opacity, 1)))
        colours[:] = np.minimum(plain, highest)


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an (H, W) or (H, W, C) picture by LibRaw's flip: bit 1 mirrors columns, 2 rows, 4 transposes."""
    picture = picture[:, ::-1] if orientation & 1 else picture
    picture = picture[::-1] if orientation & 2 else picture
    return picture.swapaxes(0, 1) if orientation & 4 else picture


def stretched(picture: np.ndarray, aspect: float) -> np.ndarray:
    """Enlarge a side of an (H, W, 3) picture to make pixels square, of width over height `aspect` so far."""
    if aspect == 1:
        return picture
    height, width = picture.shape[:2]
    size = (width, int(height / aspect + 0.5)) if aspect < 1 else (int(width * aspect + 0.5), height)
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_LINEAR)


def flip(array: np.ndarray, rows: bool, columns: bool, transpose: bool) -> np.ndarray:
    """Return a view of an (..., H, W) array: rows reversed, columns reversed, then transposed."""
    if rows:
        array = array[..., ::-1, :]
    if columns:
        array = array[..., ::-1]
    return array.swapaxes(-1, -2) if transpose else array


def flip_planes(array: np.ndarray, choice: Flips, scale: Optional[float] = None) -> np.ndarray:
    """Return a flipped copy of a (C, H, W) array.

    With `scale`, integers are divided by it and become float32. Works plane by plane to save memory, and
    transposes by OpenCV, which is nine times as fast as NumPy's views.
    """
    rows, columns, transpose = choice
    channels, height, width = array.shape
    size = (width, height) if transpose else (height, width)
    out = np.empty((channels, *size), array.dtype if scale is None else np.float32)
    for plane, flipped in zip(array, out):
        plane = flip(plane, rows, columns, False)
        if transpose:
            plane = cv2.transpose(np.ascontiguousarray(plane))
        if scale is None:
            flipped[...] = plane
        else:
            np.divide(plane, np.float32(scale), out=flipped, dtype=np.float32)
    return out


def draw_flips(rng: np.random.Generator, odds: tuple[float, float, float]) -> Flips:
    """Draw each of the three flips with its own odds."""
    rows, columns, transpose = (rng.random(3) < odds).tolist()
    return rows, columns, transpose


def random_flips(
    rng: np.random.Generator, *arrays: np.ndarray, odds: tuple[float, float, float]
) -> list[np.ndarray]:
    """Flip rows, flip columns, transpose (C, H, W) arrays alike, each with its own odds."""
    choice = draw_flips(rng, odds)
    return [flip_planes(array, choice) for array in arrays]


def random_window(
    height: int, width: int, size: int, rng: np.random.Generator, where: str
) -> tuple[int, int]:
    """Return top and left of a random square window. Raises UserError if it does not fit."""
    if min(height, width) < size:
        raise UserError(
            f"{where}: {width}x{height} input pixels are smaller than the crop of {size}; set data.crop"
        )
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
