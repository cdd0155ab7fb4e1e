"""Layers that more than one network uses."""

from __future__ import annotations

import math
from functools import reduce
from operator import add, mul

import paddle
import paddle.nn.functional as F
from paddle import nn


def conv2d(in_channels: int, out_channels: int, size: int, groups: int = 1, bias: bool = False) -> nn.Conv2D:
    """A convolution that keeps height and width, initialised as PyTorch's default.

    Weight and bias are uniform within 1/sqrt(fan-in), which is Kaiming's uniform with a = sqrt(5)
    (He et al. 2015); the networks published for PyTorch were trained from it.
    """
    bound = 1 / math.sqrt(in_channels // groups * size**2)
    init = nn.initializer.Uniform(-bound, bound)
    return nn.Conv2D(
        in_channels,
        out_channels,
        size,
        padding=size // 2,
        groups=groups,
        weight_attr=init,
        bias_attr=init if bias else False,
    )


def pixel_unshuffle(x, factor: int):
    """(N, C, H, W) -> (N, C * factor^2, H / factor, W / factor), channels ordered (C, row, column).

    As `nn.PixelUnshuffle`, which does not export with dynamic H and W (PaddlePaddle 3.3).
    """
    n, c, h, w = x.shape
    x = x.reshape([n, c, h // factor, factor, w // factor, factor]).transpose([0, 1, 3, 5, 2, 4])
    return x.reshape([n, c * factor**2, h // factor, w // factor])


class BilinearUp(nn.Layer):
    """1x1 convolution, then bilinear x2 with half-pixel centres: (N, in, H, W) -> (N, out, 2H, 2W).

    The 1x1 and a nearest-neighbour x2 are one 2x2 transposed convolution. Two 2x2 averages,
    [1, 1] * [1, 1] = [1, 2, 1], turn nearest into bilinear; padding that an average leaves out replicates
    the border. Unlike `F.interpolate`, oneDNN runs this, in the layout of the convolutions around it.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        x = F.conv2d_transpose(x, self.conv.weight.transpose([1, 0, 2, 3]).tile([1, 1, 2, 2]), stride=2)
        x = F.avg_pool2d(x, 2, stride=1, padding=1, exclusive=True)
        return F.avg_pool2d(x, 2, stride=1)


class SelectiveKernelFusion(nn.Layer):
    """Sum of branches (each N, C, H, W), weighted per channel by a softmax over the branches.

    Li et al., Selective Kernel Networks, CVPR 2019, as used by MIRNet and MIRNetV2.
    """

    def __init__(self, channels: int, branches: int, activation: nn.Layer):
        super().__init__()
        squeezed = max(channels // 8, 4)
        self.squeeze = conv2d(channels, squeezed, 1)
        self.activation = activation
        self.select = nn.LayerList(conv2d(squeezed, channels, 1) for _ in range(branches))

    def forward(self, branches):
        pooled = F.adaptive_avg_pool2d(reduce(add, branches), 1)  # (N, C, 1, 1)
        pooled = self.activation(self.squeeze(pooled))
        weights = F.softmax(paddle.stack([select(pooled) for select in self.select]), axis=0)
        # Branch by branch: oneDNN takes seconds for one stacked (branches, N, C, H, W) product.
        return reduce(add, map(mul, branches, weights.unbind(0)))
