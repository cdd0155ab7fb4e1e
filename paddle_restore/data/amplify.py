"""The amplification ratio of a dark mosaic, estimated from the mosaic alone.

Lamba and Mitra, "Restoring Extremely Dark Images in Real Time", CVPR 2021, Eq. 5.
"""

from __future__ import annotations

from typing import Literal, Optional

import cv2
import numpy as np

LIMITS = (1.0, 300.0)

_BINS = 128
_EDGES = (2.0 ** (8 * np.arange(_BINS) / (_BINS - 1)) - 1) / 255  # 0 ... 1
# A bin's weight falls by five decades from the darkest bin to the brightest, so that a street lamp in the
# frame does not decide how much the shadows are amplified. Values of 1 and above have weight 0.
_WEIGHTS = np.append(10.0 ** (-5 * np.arange(_BINS - 1) / (_BINS - 2)), 0.0)
# The weights for cv2.LUT, which takes 256 values.
_TABLE = np.append(_WEIGHTS, np.zeros(256 - _BINS)).astype(np.float32)
_CHUNK = 1 << 16  # values at a time, so that the working set stays in the processor's cache


def estimate_ratio(
    values: np.ndarray,
    counts: Optional[np.ndarray] = None,
    m: float = 1.0,
    limited: Literal["product", "estimate"] = "product",
) -> float:
    """Return the ratio of a normalised mosaic or packed frame ([0, 1], any shape).

    `counts` is how often each value occurs, so that a frame can be given as its histogram
    (`RawImage.histogram`). `m` is a factor of the result; the authors use 1, 5 and 8. Their training code
    limits the product to [1, 300]. Their demo limits the estimate and multiplies by `m` afterwards
    (`limited="estimate"`), so that it amplifies up to 2400 times.
    """
    if counts is None:
        weight, light = _weigh_pixels(np.ravel(values).astype(np.float32, copy=False))
    else:
        values = np.asarray(values, np.float64).ravel()
        weights = _WEIGHTS[np.searchsorted(_EDGES, values, side="right") - 1] * counts.ravel()
        weight, light = float(weights.sum()), float(weights @ values)
    if light <= 0:
        return LIMITS[1] * (m if limited == "estimate" else 1)
    if limited == "estimate":
        return m * float(np.clip(0.01 * weight / light, *LIMITS))
    return float(np.clip(0.01 * m * weight / light, *LIMITS))


def _weigh_pixels(pixels: np.ndarray) -> tuple[float, float]:
    """Return the sum of the weights, and of weight times value, over a flat float32 array.

    The bin of a value x is 127 / 8 * log2(255 x + 1), from the definition of the edges.
    """
    weight = light = 0.0
    position, bins = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.uint8)
    for start in range(0, pixels.size, _CHUNK):
        part = pixels[start : start + _CHUNK]
        at, bin_ = position[: part.size], bins[: part.size]
        np.clip(part, 0, 1, out=at)
        at *= np.float32(255)
        at += np.float32(1)
        np.log2(at, out=at)
        at *= np.float32((_BINS - 1) / 8)
        np.copyto(bin_, at, casting="unsafe")
        weights = cv2.LUT(bin_, _TABLE).ravel()
        weight += float(weights.sum())
        light += float(weights @ part)
    return weight, light
