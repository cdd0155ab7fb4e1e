"""Losses on structural similarity (SSIM) of pictures in [0, 1].

Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 2004.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
import paddle.nn.functional as F

from paddle_restore.errors import UserError
from paddle_restore.losses.registry import register

_C1, _C2 = 0.01**2, 0.03**2  # for a data range of 1
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # MS-SSIM, from full to 1/16 size


@register
def ssim(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """1 - SSIM, 11-tap Gaussian window, valid region. H and W must be at least 11."""
    _check_size(pred, 11, "ssim")
    return 1 - _ssim_terms(pred, target, _gaussian_blur)[0].mean()


@register
def invdn_ssim(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Mean of (1 - SSIM) / 2 clipped to [0, 1], 3x3 mean as the window, mirrored border (InvDN's code)."""
    return ((1 - _ssim_terms(pred, target, _mirrored_mean)[0]) / 2).clip(0, 1).mean()


@register
def ms_ssim(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """1 - MS-SSIM, 11-tap Gaussian window, five scales. H and W must be at least 161.

    Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality
    assessment", 2003. The product over scales is taken per picture and channel, then averaged.
    Odd sizes are padded with zeros before they are halved.
    """
    _check_size(pred, 161, "ms_ssim")
    product = paddle.ones([1])
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        full, contrast = _ssim_terms(pred, target, _gaussian_blur)
        last = scale == len(_SCALE_WEIGHTS) - 1
        value = (full if last else contrast).mean(axis=[2, 3])
        # Pictures that differ much have negative factors, whose powers are not real. The limit is
        # above zero, because the power's gradient is infinite there.
        product = product * value.clip(min=1e-6) ** weight
        if not last:
            pred, target = _halve(pred), _halve(target)
    return 1 - product.mean()


def _ssim_terms(
    x: paddle.Tensor, y: paddle.Tensor, blur: Callable[[paddle.Tensor], paddle.Tensor]
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """SSIM and its contrast-structure factor at every pixel (eq. 12)."""
    mean_x, mean_y, squares, products = blur(paddle.concat([x, y, x * x + y * y, x * y], axis=1)).split(4, 1)
    product, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    contrast = (2 * (products - product) + _C2) / (squares - power + _C2)
    return (2 * product + _C1) / (power + _C1) * contrast, contrast


def _gaussian_blur(x: paddle.Tensor) -> paddle.Tensor:
    """11x11 Gaussian, sigma 1.5, per channel, where the window lies inside."""
    channels = x.shape[1]
    taps = paddle.exp(-((paddle.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    x = F.conv2d(x, taps.reshape([1, 1, 11, 1]).expand([channels, 1, 11, 1]), groups=channels)
    return F.conv2d(x, taps.reshape([1, 1, 1, 11]).expand([channels, 1, 1, 11]), groups=channels)


def _mirrored_mean(x: paddle.Tensor) -> paddle.Tensor:
    """3x3 mean, the border mirrored."""
    return F.avg_pool2d(F.pad(x, [1, 1, 1, 1], mode="reflect"), 3, stride=1)


def _halve(x: paddle.Tensor) -> paddle.Tensor:
    padding = [side % 2 for side in x.shape[2:]]
    return F.avg_pool2d(x, 2, padding=padding, exclusive=False)


def _check_size(x: paddle.Tensor, min_side: int, name: str) -> None:
    height, width = x.shape[2:]
    if min(height, width) < min_side:
        side = f"{min_side}x{min_side}"
        raise UserError(f"loss {name!r} needs pictures of at least {side}, not {width}x{height}")
