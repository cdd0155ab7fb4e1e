"""Pictures to measure."""

from __future__ import annotations

import cv2
import numpy as np


def picture(seed, shape=(40, 52, 3)):
    """A float picture with structure: smoothed noise around a ramp."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(shape), (0, 0), 1.5)
    return (0.5 * noise + 0.5 * np.linspace(0, 1, shape[1])[None, :, None]).clip(0, 1)
