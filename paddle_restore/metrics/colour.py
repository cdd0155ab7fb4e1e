"""Colour: how vivid a picture is, and the colour difference of two pictures."""

from __future__ import annotations

import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.metrics.registry import register

_BAND = 256  # rows in one step: a large picture needs little additional memory


@register(higher_is_better=True, needs_reference=False)
def colourfulness(picture: np.ndarray) -> float:
    """Return M of Hasler and Suesstrunk, "Measuring colourfulness in natural images", 2003 (eq. 20).

    `picture` is (H, W, 3) RGB, float in [0, 1] or uint8; 0 is grey, 109 their "extremely colourful".
    """
    red, green, blue = np.moveaxis(_to_255(picture), 2, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    return float(np.sqrt(opponents.var(axis=(1, 2)).sum()) + 0.3 * np.hypot(*opponents.mean(axis=(1, 2))))


@register(higher_is_better=False)
def delta_e2000(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean CIEDE2000 difference of two (H, W, 3) sRGB pictures of one shape, float or uint8.

    About 1 is just visible. Raises UserError where scikit-image, which computes it, is missing.
    """
    try:
        from skimage.color import deltaE_ciede2000, rgb2lab
    except ImportError:
        raise UserError("CIEDE2000 needs scikit-image: pip install 'paddle_restore[demo]'") from None
    total = 0.0
    for top in range(0, len(a), _BAND):
        lab = [rgb2lab(_to_255(picture[top : top + _BAND]) / 255) for picture in (a, b)]
        total += float(deltaE_ciede2000(*lab).sum())
    return total / (a.shape[0] * a.shape[1])


def _to_255(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) * (1 if picture.dtype == np.uint8 else 255)
