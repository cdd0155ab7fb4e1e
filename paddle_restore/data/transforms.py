"""Cropping and flipping of pairs, deterministic by the generator that is handed in."""

from __future__ import annotations

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


def random_flips(
    rng: np.random.Generator,
    *arrays: np.ndarray,
    odds: tuple[float, float, float],
    keep_phase: bool = False,
) -> list:
    """Flip rows, flip columns, transpose (C, H, W) arrays alike, each with its own odds.

    A Bayer mosaic of even size that is flipped begins with another colour; `keep_phase` moves all
    arrays by one pixel to undo that. The pixels missing at the end repeat those one period before.
    """
    rows, columns, transpose = rng.random(3) < odds
    flipped = []
    for array in arrays:
        if rows:
            array = array[:, ::-1]
            array = array[:, _next(array.shape[1])] if keep_phase else array
        if columns:
            array = array[:, :, ::-1]
            array = array[:, :, _next(array.shape[2])] if keep_phase else array
        if transpose:
            array = array.transpose(0, 2, 1)
        flipped.append(np.ascontiguousarray(array))
    return flipped


def _next(size: int) -> np.ndarray:
    """1, 2, ... size - 1, and size - 2 in place of `size`."""
    indices = np.arange(1, size + 1)
    indices[-1] -= 2
    return indices
