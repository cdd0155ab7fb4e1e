"""Layers that more than one network uses."""

from __future__ import annotations

import math
from functools import reduce
from operator import add, mul
from typing import Any, Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.arithmetic import round_up
from paddle_restore.errors import UserError


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


CELL = 16
"""Pixels along a side of the cells that `Averages` with a window averages first."""


class Averages(nn.Layer):
    """Averages of features: over the whole picture, or over a window around each cell of it.

    Networks are trained on crops. Averages over a whole picture are unlike those of a crop; averages over a
    window of 1.5 times the crop are not, and they bound the context of a pixel, so that tiles fit together.
    Source: Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022.
    Unlike there, averages are taken for cells of 16x16 input pixels and interpolated linearly between them.
    At the border the window is shifted into the picture. A picture smaller than the window is averaged as a
    whole.
    """

    def __init__(self, window: Optional[int], level: int = 0):
        """window: side in pixels of the network's input; None is the whole picture. level: this layer's input
        is halved so many times."""
        super().__init__()
        self.cells = None if window is None else window / CELL  # the window's side
        self.cell = CELL >> level

    def forward(self, x):
        """(N, C, H, W) -> (N, C, H / cell, W / cell), or (N, C, 1, 1) of the whole picture."""
        if self.cells is None:
            return F.adaptive_avg_pool2d(x, 1)
        if self.cell > 1:
            x = F.avg_pool2d(x, self.cell)
        return self._along_both_axes(x, self._windows)

    def spread(self, y):
        """Interpolate what was computed from the averages to (N, C, H, W); (N, C, 1, 1) stays as it is."""
        if self.cells is None or self.cell == 1:
            return y
        return self._along_both_axes(y, self._interpolation)

    def _along_both_axes(self, x, matrix):
        """Multiply each channel with matrix(H) from the left and matrix(W), transposed, from the right."""
        rows, columns = (matrix(paddle.shape(x)[axis]) for axis in (2, 3))
        # In 3-D: PaddlePaddle 3.3 with oneDNN gives wrong numbers for a 4-D product after a convolution.
        y = paddle.matmul(paddle.matmul(rows, x.flatten(0, 1)), columns, transpose_y=True)
        return y.reshape([-1, x.shape[1], paddle.shape(rows)[0], paddle.shape(columns)[0]])

    def _windows(self, count):
        """(count, count): the share of each cell in the window around each cell, along one axis."""
        cell = paddle.arange(count).astype("float32")
        count = count.astype("float32")
        side = paddle.clip(count, max=self.cells)
        low = paddle.minimum(F.relu(cell + 0.5 - side / 2), count - side).unsqueeze(1)
        return F.relu(paddle.minimum(cell + 1, low + side) - paddle.maximum(cell, low)) / side

    def _interpolation(self, count):
        """(count * cell, count): linear interpolation between the centres of cells, along one axis."""
        cell = paddle.arange(count).astype("float32")
        pixel = paddle.arange(count * self.cell).astype("float32")
        position = paddle.minimum(F.relu((pixel + 0.5) / self.cell - 0.5), count.astype("float32") - 1)
        return F.relu(1 - (position.unsqueeze(1) - cell).abs())


def spec_of_window(window: Optional[int]) -> dict[str, Any]:
    """Return the fields of ModelSpec that `Averages` with a window changes.

    The halo covers the window around the outermost pixel that counts. What lies beyond it still reaches that
    pixel through averages of averages; docs/restoring.md has the differences.
    """
    if window is None:
        return {}
    if window < 2 * CELL:
        raise UserError(f"window must be {2 * CELL} pixels or more, not {window}")
    return {"halo": round_up(window // 2 + CELL, CELL), "multiple": CELL}


class SelectiveKernelFusion(nn.Layer):
    """Sum of branches (each N, C, H, W), weighted per channel by a softmax over the branches.

    Li et al., Selective Kernel Networks, CVPR 2019, as used by MIRNet and MIRNetV2.
    """

    def __init__(self, channels: int, branches: int, activation: nn.Layer, averages: Averages):
        super().__init__()
        self.averages = averages
        squeezed = max(channels // 8, 4)
        self.squeeze = conv2d(channels, squeezed, 1)
        self.activation = activation
        self.select = nn.LayerList(conv2d(squeezed, channels, 1) for _ in range(branches))

    def forward(self, branches):
        pooled = self.averages(reduce(add, branches))  # (N, C, 1, 1)
        pooled = self.activation(self.squeeze(pooled))
        weights = F.softmax(paddle.stack([select(pooled) for select in self.select]), axis=0)
        # Branch by branch: oneDNN takes seconds for one stacked (branches, N, C, H, W) product.
        return reduce(add, map(mul, branches, map(self.averages.spread, weights.unbind(0))))
