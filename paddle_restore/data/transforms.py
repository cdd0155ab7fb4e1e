"""Cropping and flipping of pairs, deterministic by the generator that is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import cv2
import numpy as np

from paddle_restore.errors import UserError


def random_window(
    height: int, width: int, size: int, rng: np.random.Generator, where: str
) -> tuple[int, int]:
    """Return top and left of a random square window. Raises UserError where it does not fit."""
    if min(height, width) < size:
        raise UserError(
            f"{where}: {width}x{height} input pixels are smaller than the crop of {size}; set data.crop"
        )
    return int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))


def random_flips(rng: np.random.Generator, *arrays: np.ndarray, odds: tuple[float, float, float]) -> list:
    """Flip rows, flip columns, transpose (C, H, W) arrays alike, each with its own odds."""
    choice = rng.random(3) < odds
    return [flip_planes(array, choice) for array in arrays]


def flip_planes(array: np.ndarray, choice: Sequence[bool], scale: Optional[float] = None) -> np.ndarray:
    """Return a flipped copy of a (C, H, W) array; `choice` as `flip` takes it.

    With `scale`, integers are divided by it: float32. Plane by plane, which costs little memory
    beside the copy, and transposed by OpenCV, nine times as fast as through NumPy's views.
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


def flip(array: np.ndarray, rows: bool, columns: bool, transpose: bool) -> np.ndarray:
    """Return a view of an (..., H, W) array: rows reversed, columns reversed, then transposed."""
    if rows:
        array = array[..., ::-1, :]
    if columns:
        array = array[..., ::-1]
    return array.swapaxes(-1, -2) if transpose else array
