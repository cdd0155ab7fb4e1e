"""Losses on the difference of single pixels."""

from __future__ import annotations

import math

import paddle
import paddle.nn.functional as F

from paddle_restore.losses.registry import register


@register
def l1(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Mean absolute difference."""
    return F.l1_loss(pred, target)


@register
def charbonnier(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Mean of sqrt(d^2 + eps^2), eps = 1e-3 (Lai et al., LapSRN, CVPR 2017)."""
    return paddle.sqrt((pred - target) ** 2 + 1e-3**2).mean()


@register
def charbonnier_clipped(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Charbonnier of the prediction clipped to [0, 1]: the loss of MIRNet and MIRNetV2."""
    return charbonnier(pred.clip(0, 1), target)


@register
def psnr(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Negative PSNR in dB: 10 log10(MSE + 1e-8) of each picture, averaged over N (NAFNet, ECCV 2022)."""
    squares = ((pred - target) ** 2).mean(axis=[1, 2, 3])
    return 10 / math.log(10) * paddle.log(squares + 1e-8).mean()


@register
def log_mse(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """ln(MSE + 1e-5) of each picture, averaged over N: as `psnr`, but above 50 dB there is little to gain.

    Pictures with almost no noise would rule the sum otherwise.
    """
    return paddle.log(((pred - target) ** 2).mean(axis=[1, 2, 3]) + 1e-5).mean()


@register
def l2_sum(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """Squared difference, summed over C, H, W, averaged over N (InvDN's low-resolution term)."""
    return _sum_per_picture((pred - target) ** 2).mean()


@register
def l1_sum(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
    """sqrt(d^2 + eps), summed over C, H, W, averaged over N (InvDN's reconstruction term).

    eps = 1e-3 is not squared, unlike Charbonnier's: the authors' code does so.
    """
    return _sum_per_picture(paddle.sqrt((pred - target) ** 2 + 1e-3)).mean()


@register
def gradient(pred: paddle.Tensor, target: paddle.Tensor) -> paddle.Tensor:
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


def _sum_per_picture(x: paddle.Tensor) -> paddle.Tensor:
    # Rows first: in one go Paddle's float32 sum on CPU is off by 1e-4 for a megapixel.
    return x.sum(axis=-1).sum(axis=[1, 2])
