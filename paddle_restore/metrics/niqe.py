"""NIQE: how far a picture's statistics are from those of undistorted photographs. Lower is better.

Mittal, Soundararajan, Bovik, "Making a completely blind image quality analyzer", IEEE Signal
Processing Letters 2013. The photographs are given by the mean and covariance of 36 features. Scores are
comparable only with the same photographs, conversion to grey and resizing. Here, as in the authors' release:
MATLAB's rgb2gray rounded to 8 bits, blocks of 96x96 at full and half size (MATLAB's bicubic imresize), a 7x7
Gaussian of sigma 7/6.

NIQE is not registered as a metric, because it needs the parameters of the photographs in addition.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from paddle_restore.errors import UserError

BLOCK = 96
FEATURES = 36
_GREY = np.array([0.2989, 0.5870, 0.1140])
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

_TAPS = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
_TAPS /= _TAPS.sum()


def _gamma(x: np.ndarray) -> np.ndarray:
    return np.array([math.gamma(value) for value in np.ravel(x)]).reshape(np.shape(x))


# Shapes of the generalised Gaussian that the fit chooses from, and E[|x|]^2 / E[x^2] of each (rising).
_SHAPES = np.arange(0.2, 10.001, 0.001)
_RATIOS = _gamma(2 / _SHAPES) ** 2 / (_gamma(1 / _SHAPES) * _gamma(3 / _SHAPES))


def niqe(picture: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    """Return the distance of an (H, W, 3) RGB picture, float in [0, 1] or uint8, from the photographs.

    `mean` (36,) and `covariance` (36, 36) belong to the photographs. NaN where fewer than two blocks have any
    structure. Raises UserError for pictures that do not hold two blocks of 96x96.
    """
    features = block_features(picture)
    whole = features[np.isfinite(features).all(axis=1)]
    if len(whole) < 2:
        return math.nan
    difference = mean - np.nanmean(features, axis=0)
    both = (covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(both) @ difference))


def block_features(picture: np.ndarray) -> np.ndarray:
    """Return (blocks, 36): 18 features of every whole 96x96 block at full size, then at half size."""
    rows, columns = (side // BLOCK for side in picture.shape[:2])
    if rows * columns < 2:
        raise UserError(f"NIQE needs a picture of 96x192 at least, not {picture.shape[1]}x{picture.shape[0]}")
    grey = _grey(picture[: rows * BLOCK, : columns * BLOCK])
    scales = []
    for side in (BLOCK, BLOCK // 2):
        blocks = _normalise(grey).reshape(rows, side, columns, side).swapaxes(1, 2)
        scales.append(_block_statistics(blocks.reshape(-1, side, side)))
        grey = _halve(_halve(grey).T).T
    return np.concatenate(scales, axis=1)


def _grey(picture: np.ndarray) -> np.ndarray:
    if picture.dtype != np.uint8:
        picture = np.floor(np.clip(picture, 0, 1) * 255 + 0.5)
    return np.floor(picture.astype(np.float64) @ _GREY + 0.5)


def _blur(x: np.ndarray) -> np.ndarray:
    return cv2.sepFilter2D(x, -1, _TAPS, _TAPS, borderType=cv2.BORDER_REPLICATE)


def _normalise(grey: np.ndarray) -> np.ndarray:
    """Subtract the local mean, divide by the local deviation plus 1 (eq. 1)."""
    mean = _blur(grey)
    return (grey - mean) / (np.sqrt(np.abs(_blur(grey * grey) - mean * mean)) + 1)


def _halve(x: np.ndarray) -> np.ndarray:
    """Halve the rows as MATLAB's imresize(x, 0.5): a cubic twice as wide, mirrored at the border."""
    distance = np.abs(np.arange(-3.5, 4)) / 2
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * (distance - 1) * (distance - 2) ** 2
    taps = np.where(distance <= 1, near, far)
    padded = np.pad(x, ((3, 3), (0, 0)), mode="symmetric")
    return sum(tap * padded[i : i + len(x) : 2] for i, tap in enumerate(taps / taps.sum()))


def _block_statistics(blocks: np.ndarray) -> np.ndarray:
    """(n, side, side) -> (n, 18): eqs. 4 to 8, for the values and four products of neighbours."""
    shape, left, right = _fit(blocks)
    features = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        shape, left, right = _fit(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * _gamma(2 / shape) / _gamma(1 / shape)
        features += [shape, mean, left, right]
    return np.stack(features, axis=1)


def _fit(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape and the scales of both sides of an asymmetric generalised Gaussian for each block.

    By moments, as Lasmar et al. (ICIP 2009); NaN for a block without values of both signs.
    """
    x = x.reshape(len(x), -1)
    squares = x * x
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = [np.sqrt((squares * side).sum(axis=1) / side.sum(axis=1)) for side in (x < 0, x > 0)]
        skew = deviations[0] / deviations[1]
        ratio = np.abs(x).mean(axis=1) ** 2 / squares.mean(axis=1)
        ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    valid = np.isfinite(ratio)
    after = np.clip(np.searchsorted(_RATIOS, np.where(valid, ratio, 0)), 1, len(_RATIOS) - 1)
    nearer_before = ratio - _RATIOS[after - 1] <= _RATIOS[after] - ratio
    shape = _SHAPES[after - nearer_before]
    scale = np.where(valid, np.sqrt(_gamma(1 / shape) / _gamma(3 / shape)), np.nan)
    return shape, deviations[0] * scale, deviations[1] * scale
