"""Frames of any camera for a network that knows the colours of one.

A raw network such as SID or Lamba learns with the colours of one sensor what is neutral. The colours of
another sensor have other proportions, and come out tinted: grey becomes magenta. docs/exposure.md has the
measurements.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Optional

import numpy as np

from paddle_restore.data.mosaic import RawImage, Rgb
from paddle_restore.data.raw_options import RawOptions

_SAME = 0.03  # relative difference of the multipliers of one camera model
_LARGEST = 12.0  # multiplier that a sensor may need, over that of green
_FLAT = 0.01  # multipliers so near to 1 are no measurement


def to_training_camera(raw: RawImage, options: RawOptions) -> RawImage:
    """Return the frame with gains that give grey the proportions it has for the network.

    A grey patch of the scene has the proportions 1 / as-shot multipliers, and 1 / `options.white_balance`
    is grey for the network. A frame of the training camera itself, told by `options.daylight`, stays as it
    is, as in training. So does, with a warning, a frame that says nothing of its white balance.
    """
    wanted = options.white_balance
    if wanted is None or _same(raw.daylight, options.daylight):
        return raw
    shot = _plausible(raw.white_balance[:3])
    if shot is None:
        shot, wanted = _plausible(raw.daylight), options.daylight or wanted
    if shot is None:
        warnings.warn(
            f"{raw.path}: names no white balance, so its colours stay as they are and may come out tinted: "
            "the network knows those of one camera only; to be sure, restore it with denoise_raw",
            stacklevel=2,
        )
        return raw
    gains = shot / (np.array(wanted) / wanted[1])
    return replace(raw, gains=(float(gains[0]), 1.0, float(gains[2])))


def _same(one: Optional[Rgb], other: Optional[Rgb]) -> bool:
    if one is None or other is None:
        return False
    ratio = np.array(one) / one[1] / (np.array(other) / other[1])
    return bool(np.abs(ratio - 1).max() <= _SAME)


def _plausible(multipliers: Optional[Rgb]) -> Optional[np.ndarray]:
    """Return multipliers over that of green; None where they are missing, all equal or out of range."""
    if multipliers is None or not min(multipliers) > 0:
        return None
    relative = np.array(multipliers, float) / multipliers[1]
    if np.abs(relative - 1).max() < _FLAT or relative.max() > _LARGEST or relative.min() < 1 / _LARGEST:
        return None
    return relative
