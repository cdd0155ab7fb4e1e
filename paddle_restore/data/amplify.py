"""The amplification ratio of a dark mosaic, estimated from the mosaic alone.

Lamba and Mitra, "Restoring Extremely Dark Images in Real Time", CVPR 2021, Eq. 5.
"""

from __future__ import annotations

from typing import Optional

import numpy as np

LIMITS = (1.0, 300.0)

_BINS = 128
_EDGES = (2.0 ** (8 * np.arange(_BINS) / (_BINS - 1)) - 1) / 255  # 0 ... 1
# A bin's weight falls by five decades from the darkest to the brightest, so that a street lamp
# in the frame does not decide how much the shadows are lifted; 1 and above count nothing.
_WEIGHTS = np.append(10.0 ** (-5 * np.arange(_BINS - 1) / (_BINS - 2)), 0.0)


def estimate_ratio(values: np.ndarray, counts: Optional[np.ndarray] = None, m: float = 1.0) -> float:
    """Return the ratio, in [1, 300], of a normalised mosaic or packed frame ([0, 1], any shape).

    `counts` says how often each value occurs, so that a whole frame costs one histogram
    (`RawImage.histogram`). `m` scales the result; the authors use 1, 5 and 8.
    """
    values = np.asarray(values, np.float64).ravel()
    weights = _WEIGHTS[np.searchsorted(_EDGES, values, side="right") - 1]
    if counts is not None:
        weights = weights * counts.ravel()
    light = float(weights @ values)
    if light <= 0:
        return LIMITS[1]
    return float(np.clip(0.01 * m * weights.sum() / light, *LIMITS))
