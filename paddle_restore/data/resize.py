"""MATLAB's imresize: bicubic, antialiased, as InvDN's low-resolution targets are made.

Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981
(eq. 15, a = -0.5); MATLAB's documentation of imresize: for down-sampling the kernel is
widened by 1/scale, pixel centres are aligned, and the border is mirrored with its edge
repeated.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from paddle_restore.data.pixels import to_float, to_integer
from paddle_restore.errors import UserError


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


@functools.lru_cache(maxsize=16)
def _taps(length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Source indices and weights, (ceil(length * scale), taps) each, along one side."""
    stretch = min(scale, 1.0)  # antialiasing when shrinking
    width = 4 / stretch
    centres = (np.arange(math.ceil(length * scale)) + 0.5) / scale - 0.5
    first = np.floor(centres - width / 2).astype(int)
    indices = first[:, None] + np.arange(math.ceil(width) + 2)
    weights = _cubic((centres[:, None] - indices) * stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    indices, weights = indices[:, used], weights[:, used]
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    return mirrored[indices % (2 * length)], weights.astype(np.float32)


def _resize_rows(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize along the first axis of (H, N): one weighted sum of rows for each tap."""
    indices, weights = _taps(image.shape[0], scale)
    out = np.zeros((len(indices), image.shape[1]), np.float32)
    for tap in range(indices.shape[1]):
        out += weights[:, tap, None] * image[indices[:, tap]]
    return out


def imresize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize (H, W, C) by `scale` as MATLAB's imresize does (bicubic, antialiased).

    Takes floats of any range and returns float32, (ceil(H * scale), ceil(W * scale), C),
    neither rounded nor clipped: the cubic kernel overshoots at edges. Raises UserError for
    other than float (H, W, C) pictures and for a scale of zero or less.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.dtype.kind != "f" or not image.size:
        raise UserError(f"imresize takes (H, W, C) floats, not {image.shape} of {image.dtype}")
    if not scale > 0:
        raise UserError(f"imresize takes a scale above 0, not {scale}")
    height, width, channels = image.shape
    rows = _resize_rows(np.ascontiguousarray(image, np.float32).reshape(height, -1), scale)
    columns = rows.reshape(-1, width, channels).transpose(1, 0, 2).reshape(width, -1)
    columns = _resize_rows(columns, scale).reshape(-1, rows.shape[0], channels)
    return np.ascontiguousarray(columns.transpose(1, 0, 2))


def shrink(picture: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, 3) uint8 or uint16 -> 1/`scale` of it by `imresize`, rounded to the same type."""
    return to_integer(imresize(to_float(picture), 1 / scale), 8 * picture.dtype.itemsize)
