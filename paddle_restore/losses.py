"""Training losses, by the names that a recipe uses.

Every loss takes the prediction and the target, (N, C, H, W) around [0, 1], and returns one
number as a tensor. The keys of LOSSES are the names; `build_losses` makes the weighted sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import paddle
import paddle.nn.functional as F

from paddle_restore.errors import UserError, did_you_mean

_C1, _C2 = 0.01**2, 0.03**2  # SSIM's constants for a data range of 1
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # MS-SSIM, from full to 1/16 size


def l1(pred, target):
    """Mean absolute difference."""
    return F.l1_loss(pred, target)


def charbonnier(pred, target):
    """Mean of sqrt(d^2 + eps^2), eps = 1e-3 (Lai et al., LapSRN, CVPR 2017)."""
    return paddle.sqrt((pred - target) ** 2 + 1e-3**2).mean()


def charbonnier_clipped(pred, target):
    """Charbonnier of the prediction clipped to [0, 1], on which MIRNet and MIRNetV2 train."""
    return charbonnier(pred.clip(0, 1), target)


def _sum_per_picture(x):
    # Rows first: in one go Paddle's float32 sum on CPU is off by 1e-4 for a megapixel.
    return x.sum(axis=-1).sum(axis=[1, 2])


def l2_sum(pred, target):
    """Squared difference, summed over C, H, W, averaged over N (InvDN's low-resolution term)."""
    return _sum_per_picture((pred - target) ** 2).mean()


def l1_sum(pred, target):
    """sqrt(d^2 + eps), summed over C, H, W, averaged over N (InvDN's reconstruction term).

    eps = 1e-3 is added as it is, where Charbonnier adds its square: the authors' code does so.
    """
    return _sum_per_picture(paddle.sqrt((pred - target) ** 2 + 1e-3)).mean()


def log_mse(pred, target):
    """ln(mean squared difference + 1e-5) of each picture, averaged: -PSNR in units of 4.34 dB.

    Every picture counts alike, however noisy (as the PSNR loss of Chen et al., HINet, CVPRW 2021). The
    addend ends the reward at 50 dB.
    """
    squares = ((pred - target) ** 2).mean(axis=[1, 2, 3])
    return paddle.log(squares + 1e-5).mean()


def gradient(pred, target):
    """Mean absolute difference of the Sobel derivatives, x plus y, zero padded (InvDN's code)."""
    difference = pred - target  # the derivative is linear
    channels = difference.shape[1]
    smooth = paddle.to_tensor([1.0, 2.0, 1.0], dtype=difference.dtype)
    step = paddle.to_tensor([-1.0, 0.0, 1.0], dtype=difference.dtype)
    total = 0
    for column, row in ((smooth, step), (step, smooth)):
        kernel = (column.reshape([3, 1]) * row).expand([channels, 1, 3, 3])
        total = total + F.conv2d(difference, kernel, padding=1, groups=channels).abs().mean()
    return total


def _gaussian_blur(x):
    """11x11 Gaussian, sigma 1.5, per channel, where the window lies inside."""
    channels = x.shape[1]
    taps = paddle.exp(-((paddle.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    x = F.conv2d(x, taps.reshape([1, 1, 11, 1]).expand([channels, 1, 11, 1]), groups=channels)
    return F.conv2d(x, taps.reshape([1, 1, 1, 11]).expand([channels, 1, 1, 11]), groups=channels)


def _mirrored_mean(x):
    """3x3 mean, the border mirrored."""
    return F.avg_pool2d(F.pad(x, [1, 1, 1, 1], mode="reflect"), 3, stride=1)


def _ssim_terms(x, y, blur):
    """SSIM and its contrast-structure factor at every pixel (Wang et al., IEEE TIP 2004, eq. 12)."""
    mean_x, mean_y, squares, products = blur(paddle.concat([x, y, x * x + y * y, x * y], axis=1)).split(4, 1)
    product, power = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    contrast = (2 * (products - product) + _C2) / (squares - power + _C2)
    return (2 * product + _C1) / (power + _C1) * contrast, contrast


def ssim(pred, target):
    """1 - SSIM, 11-tap Gaussian, data range 1, valid region. H and W of 11 at least."""
    _check_size(pred, 11, "ssim")
    return 1 - _ssim_terms(pred, target, _gaussian_blur)[0].mean()


def invdn_ssim(pred, target):
    """Mean of (1 - SSIM) / 2 clipped to [0, 1], 3x3 mean as the window, mirrored border (InvDN's code)."""
    return ((1 - _ssim_terms(pred, target, _mirrored_mean)[0]) / 2).clip(0, 1).mean()


def ms_ssim(pred, target):
    """1 - MS-SSIM, 11-tap Gaussian, data range 1, five scales. H and W of 161 at least.

    Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality
    assessment", 2003. The product over scales is taken per picture and channel, then averaged;
    odd sizes are padded with a zero before they are halved.
    """
    _check_size(pred, 161, "ms_ssim")
    result = 1.0
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        full, contrast = _ssim_terms(pred, target, _gaussian_blur)
        last = scale == len(_SCALE_WEIGHTS) - 1
        value = (full if last else contrast).mean(axis=[2, 3])
        # Unlike pictures have negative factors, of which no power is real; not cut at zero,
        # where the power's gradient is infinite.
        result = result * value.clip(min=1e-6) ** weight
        if not last:
            pred, target = _halve(pred), _halve(target)
    return 1 - result.mean()


def _halve(x):
    padding = [side % 2 for side in x.shape[2:]]
    return F.avg_pool2d(x, 2, padding=padding, exclusive=False)


def _check_size(x, least: int, name: str) -> None:
    if min(x.shape[2:]) < least:
        height, width = x.shape[2:]
        raise UserError(f"loss {name!r} needs pictures of {least}x{least} at least, not {width}x{height}")


LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    loss.__name__: loss
    for loss in (
        l1,
        charbonnier,
        charbonnier_clipped,
        ssim,
        ms_ssim,
        log_mse,
        l2_sum,
        l1_sum,
        gradient,
        invdn_ssim,
    )
}
"""Every loss by its name."""


def build_losses(weights: Mapping[str, float]) -> Callable[[Any, Any], dict[str, Any]]:
    """Make one function of several losses, such as `{"l1": 1.0, "ms_ssim": 0.2}`.

    It takes (pred, target) and returns each loss by name, unweighted, and "loss", the weighted
    sum to descend on. It computes in float32 under mixed precision too, where the variances of
    SSIM would vanish in float16. Raises UserError for unknown names and for no losses at all.
    """
    if not weights:
        raise UserError(f"no loss is given; choose from: {', '.join(sorted(LOSSES))}")
    for name in weights:
        if name not in LOSSES:
            raise UserError(f"unknown loss {name!r}{did_you_mean(name, LOSSES)}")

    def losses(pred, target):
        with paddle.amp.auto_cast(enable=False):
            pred, target = pred.astype("float32"), target.astype("float32")
            values = {name: LOSSES[name](pred, target) for name in weights}
            values["loss"] = sum(weight * values[name] for name, weight in weights.items())
        return values

    return losses
