"""Arrays of pixels: number types, turning, cutting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Rows of a picture that are worked on at once: a picture may have a gigabyte, its copies as well.
ROWS = 256


def strips(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield views of some hundred rows, to work on without copies of the whole picture."""
    return (image[row : row + ROWS] for row in range(0, len(image), ROWS))


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> float32 in [0, 1]; float passes as float32."""
    if image.dtype in (np.uint8, np.uint16):
        return np.divide(image, np.float32(np.iinfo(image.dtype).max), dtype=np.float32)
    return image.astype(np.float32, copy=False)


def to_integer(image: np.ndarray, depth: int = 8) -> np.ndarray:
    """float in [0, 1] (values outside are clipped) -> uint8 or uint16, rounded to nearest.

    Integers are taken to the other depth, or passed on.
    """
    top = 2**depth - 1
    integers = np.empty(image.shape, np.uint8 if depth == 8 else np.uint16)
    if image.dtype == integers.dtype:
        return image
    for rows, stored in zip(strips(image), strips(integers)):
        stored[:] = np.rint(np.clip(to_float(rows), 0, 1) * top)
    return integers


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an (H, W) or (H, W, C) picture by LibRaw's flip: bit 1 mirrors columns, 2 rows, 4 transposes."""
    picture = picture[:, ::-1] if orientation & 1 else picture
    picture = picture[::-1] if orientation & 2 else picture
    return picture.swapaxes(0, 1) if orientation & 4 else picture


def crop_or_pad(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(C, H, W) -> (C, height, width): cut at the bottom and right, or continue by reflection.

    Grows each side to less than twice its length.
    """
    image = image[:, :height, :width]
    bottom, right = height - image.shape[1], width - image.shape[2]
    if not (bottom or right):
        return image
    return np.pad(image, ((0, 0), (0, bottom), (0, right)), mode="reflect")
