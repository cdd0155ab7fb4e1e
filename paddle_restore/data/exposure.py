"""The exposure of a raw frame: the factor that makes its developed picture well lit.

docs/exposure.md has the measurements by which the rule and its numbers were chosen (benchmarks/exposure.py).
"""

from __future__ import annotations

import numpy as np

from paddle_restore.data.mosaic import RawImage

LIMITS = (1.0, 300.0)

LEVEL = 0.65
"""What the bright parts come to, linear, 1 = white."""
_BRIGHT = 99  # per cent of the frame are darker than its bright parts
# A frame with lamps is amplified further, until the picture's mean is this or too much is white.
_MEAN = 0.25
_MAX_WHITE = 3  # per cent

_BLOCK = 16  # pixels along a side, whose mean has little noise
_MIN_BLOCKS = 8  # along a side
_STEPS = 24


def auto_exposure(raw: RawImage, limit: float = LIMITS[1]) -> float:
    """Return the factor, from 1 to `limit`, by which a frame is amplified to be well lit.

    The 99th percentile of the frame's brightest colour, white-balanced, comes to 0.65 of white. Where a few
    lamps hold that percentile, the factor is larger: until the mean of the developed picture is a quarter of
    white, or 3 per cent of the picture are white. A frame without light gets `limit`.
    """
    rows, columns = (max(side // _BLOCK, _MIN_BLOCKS) for side in raw.mosaic.shape)
    colours = raw.colour_means(rows, columns) * raw.balance[:, None, None]
    light, lamps = np.percentile(colours.max(0), (_BRIGHT, 100 - _MAX_WHITE))
    if light <= 0:
        return limit
    factor, largest = LEVEL / light, min(1 / max(lamps, 1e-9), limit)
    if factor < largest:
        factor = _brighten(colours.mean(0), factor, largest)
    return float(np.clip(factor, LIMITS[0], max(limit, LIMITS[0])))


def _brighten(values: np.ndarray, low: float, high: float) -> float:
    """Return the factor from `low` to `high` that brings the developed mean nearest to `_MEAN`."""
    for _ in range(_STEPS):
        middle = np.sqrt(low * high)
        if tone_curve(middle * values).mean() < _MEAN:
            low = middle
        else:
            high = middle
    return float(low)


def tone_curve(linear: np.ndarray) -> np.ndarray:
    """Return developed values in [0, 1] of linear ones: ITU-R BT.709's curve, LibRaw's default."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear < 0.018, 4.5 * linear, 1.099 * np.maximum(linear, 0.018) ** 0.45 - 0.099)
