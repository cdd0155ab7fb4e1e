"""Cropping and flipping of pairs, deterministic by the generator that is handed in."""

from __future__ import annotations

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
    return [flip_planes(array, *choice) for array in arrays]


def flip_planes(array: np.ndarray, rows: bool, columns: bool, transpose: bool) -> np.ndarray:
    """`flip` of a (C, H, W) array into memory of its own order."""
    array = np.ascontiguousarray(flip(array, rows, columns, False))
    # Nine times as fast as NumPy's copy, which runs through memory against the grain.
    return np.stack([cv2.transpose(plane) for plane in array]) if transpose else array


def flip(array: np.ndarray, rows: bool, columns: bool, transpose: bool) -> np.ndarray:
    """Return a view of an (..., H, W) array: rows reversed, columns reversed, then transposed."""
    if rows:
        array = array[..., ::-1, :]
    if columns:
        array = array[..., ::-1]
    return array.swapaxes(-1, -2) if transpose else array
