"""The noise of a latent as one field over the whole frame, of which any window can be drawn."""

from __future__ import annotations

import numpy as np

from paddle_restore.arithmetic import ceil_div
from paddle_restore.models.spec import Latent

_BLOCK = 64


def noise_window(
    latent: Latent, seed: tuple[int, ...], top: int, left: int, height: int, width: int
) -> np.ndarray:
    """Draw a window of standard normal noise: (channels, height / stride, width / stride) float32.

    Place and sizes are in input pixels, multiples of the stride. Each block of the field has a generator
    of its own, so that tiles get the noise that the whole frame would have there.
    """
    out = np.empty(latent.shape(height, width), np.float32)
    top, left, height, width = (n // latent.stride for n in (top, left, height, width))
    for row in range(top // _BLOCK, ceil_div(top + height, _BLOCK)):
        for column in range(left // _BLOCK, ceil_div(left + width, _BLOCK)):
            rng = np.random.default_rng([*seed, row, column])
            block = rng.standard_normal((latent.channels, _BLOCK, _BLOCK), np.float32)
            y, x = row * _BLOCK, column * _BLOCK
            rows = slice(max(top, y), min(top + height, y + _BLOCK))
            columns = slice(max(left, x), min(left + width, x + _BLOCK))
            out[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = block[
                :, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
            ]
    return out
