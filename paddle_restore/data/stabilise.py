"""Sensor values <-> values whose noise has standard deviation 1 at every brightness and of every camera.

x is a sensor value, (mosaic - black) / (white - black), with noise of variance gain * x + variance. With
c = 3/8 gain^2 + variance, the generalised Anscombe transform is 2 / gain * sqrt(gain * x + c). `stabilise`
subtracts its value at black, so that black is 0, and continues it below black by its tangent, so that it is
monotone and negative values stay negative:

    z = 2 x / (sqrt(gain * max(x, 0) + c) + sqrt(c))

This form also holds without shot noise (gain 0). Noise that passes a curve has another mean than the curve
of the mean. A denoiser finds the mean of z, so `unstabilise` is the exact unbiased inverse, which takes the
mean of z to the mean of x. The difference to the plain inverse is between 0 and about 1/4 electron. It is
computed by numerical integration for the ratio of read noise to gain at hand, and interpolated.

Sources: Starck, Murtagh, Bijaoui, "Image Processing and Data Analysis", Cambridge 1998 (the transform);
Makitalo, Foi, "Optimal Inversion of the Generalized Anscombe Transformation for Poisson-Gaussian Noise",
IEEE TIP 2013 (the inverse).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Union

import numpy as np

PerColour = Union[float, np.ndarray]
"""One number, or (C, 1, 1): one for each channel of a (..., C, H, W) array."""

_MANY_ELECTRONS = 40.0  # from here on, and with large read noise, Poisson noise counts as normal
_LARGE_READ_NOISE = 5.0  # electrons
_LEVELS = 64  # of a table
_READ_STEP = 0.02  # of the logarithm of the read noise, between tables
_READ_RANGE = (0.02, 1e4)  # electrons; beyond, the shift changes no more
_NORMAL = np.linspace(-6, 6, 121)
_NORMAL_WEIGHTS = np.exp(-(_NORMAL**2) / 2) / np.exp(-(_NORMAL**2) / 2).sum()


def stabilise(x: np.ndarray, gain: PerColour, variance: PerColour) -> np.ndarray:
    """Return sensor values with noise of standard deviation 1; 0 is black, and nothing is clipped.

    x         (..., C, H, W), 1 is white
    gain      of the noise's variance gain * x + variance; with `variance` >= 0, not both 0
    Returns float32 of the same shape.
    """
    gain, root_at_black = _checked(gain, variance)
    root = np.sqrt(gain * np.maximum(x, 0) + root_at_black**2)
    return (2 * x / (root + root_at_black)).astype(np.float32, copy=False)


def stabilised_mean(x: np.ndarray, gain: PerColour, variance: PerColour) -> np.ndarray:
    """Return the mean of `stabilise` over the noise around true values `x`: the inverse of `unstabilise`.

    It is what a denoiser of stabilised values should find, so it is the target of its training.
    """
    return stabilise(x - _shift(x, gain, variance, stabilised=False), gain, variance)


def unstabilise(z: np.ndarray, gain: PerColour, variance: PerColour) -> np.ndarray:
    """Return the mean sensor values, float32, of mean stabilised values: the exact unbiased inverse.

    z   (..., C, H, W) from `stabilise`, denoised
    """
    return plain_inverse(z, gain, variance) + _shift(z, gain, variance, stabilised=True)


def plain_inverse(z: np.ndarray, gain: PerColour, variance: PerColour) -> np.ndarray:
    """Return the sensor values, float32, of which `stabilise` makes `z`."""
    gain, root_at_black = _checked(gain, variance)
    return (z * root_at_black + np.maximum(z, 0) ** 2 * (gain / 4)).astype(np.float32, copy=False)


def _checked(gain: PerColour, variance: PerColour) -> tuple[np.ndarray, np.ndarray]:
    """Return the gain and the root of c, the transform's scale at black, as float32 arrays."""
    gains, variances = np.asarray(gain, float), np.asarray(variance, float)
    if not ((gains >= 0) & (variances >= 0) & (gains + variances > 0)).all():
        raise ValueError(f"noise needs a gain and a variance of 0 or more, not {gain} and {variance}")
    return gains.astype(np.float32), np.sqrt(0.375 * gains**2 + variances).astype(np.float32)


def _shift(values: np.ndarray, gain: PerColour, variance: PerColour, stabilised: bool) -> np.ndarray:
    """Return by how much the unbiased inverse is above the plain one, float32, in sensor values.

    values  true sensor values, or means of stabilised ones
    """
    gains, variances = np.broadcast_arrays(np.asarray(gain, float), np.asarray(variance, float))
    shift = np.zeros(values.shape, np.float32)
    if gains.size == 1:
        parts = [(values, shift, gains.item(), variances.item())]
    else:
        channels = zip(np.moveaxis(values, -3, 0), np.moveaxis(shift, -3, 0))
        parts = [(*pair, g, v) for pair, g, v in zip(channels, gains.ravel(), variances.ravel())]
    for part, out, g, v in parts:
        if g > 0:
            low, high = _READ_RANGE
            read = np.clip(np.sqrt(v) / g, low, high)
            electrons, mean_z, shifts = _table(round(float(np.log(read)) / _READ_STEP))
            out[...] = np.interp(part, mean_z if stabilised else electrons * g, shifts * g)
    return shift


@lru_cache(maxsize=1024)
def _table(read_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true values, the means of their stabilised values, and the shifts; in electrons.

    read_steps  logarithm of the read noise in electrons, in `_READ_STEP`
    """
    read = float(np.exp(read_steps * _READ_STEP))
    # Denser near black, where the shift changes. Beyond the last, it is 1/4 up to a hundredth.
    electrons = (_MANY_ELECTRONS + 6 * read) * np.linspace(0, 1, _LEVELS) ** 2
    poisson = electrons < (_MANY_ELECTRONS if read < _LARGE_READ_NOISE else 0)
    mean_z = np.empty(_LEVELS)
    deviation = np.sqrt(electrons[~poisson] + read**2)
    noisy = electrons[~poisson, None] + deviation[:, None] * _NORMAL
    mean_z[~poisson] = stabilise(noisy, 1.0, read**2) @ _NORMAL_WEIGHTS
    count = np.arange(int(_MANY_ELECTRONS + 10 * _MANY_ELECTRONS**0.5))
    of_count = stabilise(count[:, None] + read * _NORMAL, 1.0, read**2) @ _NORMAL_WEIGHTS
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(count[1:]))])
    log_electrons = np.log(np.maximum(electrons[poisson], 1e-300))
    probability = np.exp(count * log_electrons[:, None] - electrons[poisson, None] - log_factorial)
    mean_z[poisson] = probability @ of_count
    return electrons, mean_z, electrons - plain_inverse(mean_z, 1.0, read**2)
