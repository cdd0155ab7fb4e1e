"""PSNR and SSIM by the published protocols.

The functions get checked pictures: (H, W, 3) RGB, floating point in [0, 1] or uint8, of one shape.
`metrics.evaluate` checks and calls them.

Source of SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error
visibility to structural similarity", IEEE TIP 2004 (eq. 13 with K1 = 0.01, K2 = 0.03).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.metrics.registry import register

_Blur = Callable[[np.ndarray], np.ndarray]

_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
# BT.601 luma of RGB in [0, 255], as MATLAB's rgb2ycbcr gives it: 16 to 235.
_Y = np.array([[65.481, 128.553, 24.966]]) / 255
# Rows in one step: the arrays stay in the cache, and the additional memory does not grow with the height.
_BAND = 64


def _gaussian(size: int = 11, sigma: float = 1.5) -> np.ndarray:
    taps = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return taps / taps.sum()


def _channel_mixing() -> np.ndarray:
    """The 11-tap Gaussian along an axis of 3 channels, replicate padded, as a 3x3 matrix."""
    matrix = np.zeros((3, 3))
    for out in range(3):
        for offset, tap in enumerate(_gaussian(), start=-5):
            matrix[out, min(max(out + offset, 0), 2)] += tap
    return matrix


def _to_255(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) * (1 if picture.dtype == np.uint8 else 255)


def _to_uint8(picture: np.ndarray) -> np.ndarray:
    """Clip and round half up, as the picture writers of the published evaluations do."""
    if picture.dtype == np.uint8:
        return picture
    return np.floor(np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _bands(a: np.ndarray, b: np.ndarray, window: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield bands of rows. Their valid regions under `window` cover that of the whole pictures once."""
    for top in range(0, a.shape[0] - window + 1, _BAND):
        rows = slice(top, top + _BAND + window - 1)
        yield a[rows], b[rows]


def _ssim_map(x: np.ndarray, y: np.ndarray, blur: _Blur, bias: float = 1.0) -> np.ndarray:
    """SSIM at every pixel, for x and y in [0, 255]; `blur` is the window, `bias` scales (co)variances."""
    mean_x, mean_y = blur(x), blur(y)
    product = mean_x * mean_y
    squares = mean_x * mean_x + mean_y * mean_y
    covariance = bias * (blur(x * y) - product)
    variances = bias * (blur(x * x + y * y) - squares)  # SSIM uses only their sum
    return (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))


def _mean_ssim(
    a: np.ndarray, b: np.ndarray, window: int, prepare: _Blur, blur: _Blur, bias: float = 1.0
) -> float:
    if min(a.shape[:2]) < window:
        raise UserError(f"SSIM needs pictures of {window}x{window} at least, not {a.shape[1]}x{a.shape[0]}")
    total, count = 0.0, 0
    for band_a, band_b in _bands(a, b, window):
        values = _ssim_map(prepare(band_a), prepare(band_b), blur, bias)
        total, count = total + float(values.sum()), count + values.size
    return total / count


def _gaussian_blur(x: np.ndarray) -> np.ndarray:
    """11x11 Gaussian, sigma 1.5, where the window lies inside the array."""
    taps = _gaussian()
    return cv2.sepFilter2D(x, -1, taps, taps)[5:-5, 5:-5]


@register(higher_is_better=True)
def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of float RGB, neither clipped nor rounded: MIRNet, MIRNetV2 and InvDN on SIDD."""
    total = 0.0
    for band_a, band_b in _bands(a, b, 1):
        difference = _to_255(band_a) - _to_255(band_b)
        total += float(np.vdot(difference, difference))
    return 10 * math.log10(255**2 * a.size / total) if total else math.inf


@register(higher_is_better=True)
def psnr_uint8(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of 8-bit RGB, both clipped and rounded: SID and Lamba, on their saved pictures."""
    return psnr(_to_uint8(a), _to_uint8(b))


@register(higher_is_better=True)
def ssim_y_matlab(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of Y (BT.601, 16 to 235), not rounded; valid region of an 11x11 Gaussian, sigma 1.5.

    Published with InvDN and with the Paddle reproduction of MIRNetV2.
    """
    return _mean_ssim(a, b, 11, lambda x: cv2.transform(_to_255(x), _Y) + 16, _gaussian_blur)


@register(higher_is_better=True)
def ssim_rgb_matlab(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of 8-bit RGB, mean over the channels; the window of `ssim_y_matlab`. Published with SID."""
    return _mean_ssim(_to_uint8(a), _to_uint8(b), 11, _to_255, _gaussian_blur)


@register(higher_is_better=True)
def ssim_skimage_uint8(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of 8-bit RGB, mean over the channels; valid region of a 7x7 mean, sample covariance.

    scikit-image's defaults on uint8. The code of Lamba's authors prints it while training.
    """

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (7, 7))[3:-3, 3:-3]

    return _mean_ssim(_to_uint8(a), _to_uint8(b), 7, _to_255, blur, bias=49 / 48)


@register(higher_is_better=True)
def ssim_volume_matlab(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM of RGB as a volume of height x width x 3, not rounded; 11x11x11 Gaussian, sigma 1.5.

    The volume is replicate padded on all three axes: MATLAB's ssim(A, ref) of a colour picture, published
    with MIRNet and MIRNetV2.
    """
    mixing = _channel_mixing()

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.transform(_gaussian_blur(x), mixing)

    a, b = (np.pad(x, ((5, 5), (5, 5), (0, 0)), mode="edge") for x in (a, b))
    return _mean_ssim(a, b, 11, _to_255, blur)


@register(higher_is_better=True)
def ssim_volume_matlab_uint8(a: np.ndarray, b: np.ndarray) -> float:
    """`ssim_volume_matlab` of 8-bit RGB: MATLAB's ssim(A, ref) of saved pictures. Published with Lamba."""
    return ssim_volume_matlab(_to_uint8(a), _to_uint8(b))
