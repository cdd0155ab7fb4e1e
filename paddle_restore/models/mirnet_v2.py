"""MIRNetV2.

Paper: Zamir et al., "Learning Enriched Features for Fast Image Restoration and Enhancement",
TPAMI 2022. Authors' repository: https://github.com/swz30/MIRNetv2 (Academic Public License,
non-commercial).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any, Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.errors import UserError
from paddle_restore.models.layers import (
    Averages,
    BilinearUp,
    SelectiveKernelFusion,
    conv2d,
    spec_of_window,
)
from paddle_restore.models.published import ForeignNames, Golden, Weights
from paddle_restore.models.registry import register


class ContextBlock(nn.Layer):
    """Add to every pixel a vector made of all pixels, or of those in a window: (N, C, H, W), the same out."""

    def __init__(self, channels: int, averages: Averages):
        super().__init__()
        self.averages = averages
        self.mask = conv2d(channels, 1, 1)
        self.conv1 = conv2d(channels, channels, 1)
        self.conv2 = conv2d(channels, channels, 1)

    def forward(self, x):
        context = self.conv2(F.leaky_relu(self.conv1(self.weighted_average(x)), 0.2))
        return x + self.averages.spread(context)

    def weighted_average(self, x):
        """(N, C, H, W) -> (N, C, 1, 1), or (N, C, cells, cells) with a window."""
        mask = self.mask(x)  # (N, 1, H, W)
        if self.averages.window is None:
            mask = F.softmax(mask.flatten(2), axis=-1)  # (N, 1, H*W), sums to 1
            return paddle.matmul(x.flatten(2), mask, transpose_y=True).unsqueeze(-1)
        weights = (mask - mask.max(axis=[1, 2, 3], keepdim=True)).exp()
        return self.averages(x * weights) / self.averages(weights).clip(min=1e-30)


class ResidualContextBlock(nn.Layer):
    def __init__(self, channels: int, groups: int, averages: Averages):
        super().__init__()
        self.conv1 = conv2d(channels, channels, 3, groups)
        self.conv2 = conv2d(channels, channels, 3, groups)
        self.context = ContextBlock(channels, averages)

    def forward(self, x):
        residual = self.conv2(F.leaky_relu(self.conv1(x), 0.2))
        return F.leaky_relu(self.context(residual), 0.2) + x


class Down(nn.Layer):
    """Half the height and width."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, 1)

    def forward(self, x):
        return self.conv(F.avg_pool2d(x, 2))


class MultiScaleBlock(nn.Layer):
    """Streams at full, half and quarter size, fused upwards twice by the same fusions."""

    def __init__(self, channels: int, groups: int, window: Optional[int]):
        super().__init__()
        top, middle, bottom = channels, channels * 3 // 2, channels * 9 // 4
        averages = [Averages(window, level) for level in range(3)]
        self.down_middle = Down(top, middle)
        self.down_bottom = nn.Sequential(Down(top, middle), Down(middle, bottom))
        self.streams = nn.LayerList(
            ResidualContextBlock(c, groups, a) for c, a in zip((top, middle, bottom), averages)
        )
        self.up_middle = nn.LayerList(BilinearUp(bottom, middle) for _ in range(2))
        self.up_top = nn.LayerList(BilinearUp(middle, top) for _ in range(2))
        self.fuse_middle = SelectiveKernelFusion(middle, 2, nn.LeakyReLU(0.2), averages[1])
        self.fuse_top = SelectiveKernelFusion(top, 2, nn.LeakyReLU(0.2), averages[0])
        self.conv = conv2d(channels, channels, 1)

    def forward(self, x):
        # (N, c, H, W), (N, 1.5c, H/2, W/2), (N, 2.25c, H/4, W/4)
        top, middle, bottom = x, self.down_middle(x), self.down_bottom(x)
        for up_middle, up_top in zip(self.up_middle, self.up_top):
            top, middle, bottom = (stream(y) for stream, y in zip(self.streams, (top, middle, bottom)))
            middle = self.fuse_middle([middle, up_middle(bottom)])
            top = self.fuse_top([top, up_top(middle)])
        return self.conv(top) + x


class ResidualGroup(nn.Layer):
    def __init__(self, channels: int, groups: int, window: Optional[int]):
        super().__init__()
        self.blocks = nn.Sequential(*(MultiScaleBlock(channels, groups, window) for _ in range(2)))
        self.conv = conv2d(channels, channels, 3)

    def forward(self, x):
        return self.conv(self.blocks(x)) + x


class MIRNetV2(nn.Layer):
    """Noisy sRGB, [0, 1], (N, 3, H, W) -> clean sRGB of the same size, not clipped.

    H and W are multiples of 4. `groups` has one entry a recursive residual group: the groups of
    its 3x3 convolutions.
    """

    def __init__(self, width: int, groups: Sequence[int], window: Optional[int] = None):
        super().__init__()
        self.spec_fields = spec_of_window(window)
        if any(width % (4 * g) for g in groups):
            raise UserError(f"MIRNetV2's width must be a multiple of 4 x its groups {groups}, not {width}")
        self.first = conv2d(3, width, 3)
        self.body = nn.Sequential(*(ResidualGroup(width, g, window) for g in groups))
        self.last = conv2d(width, 3, 3)

    def forward(self, x):
        return self.last(self.body(self.first(x))) + x

    def deployed(self) -> MIRNetV2:
        """The same network with more than 16 channels in every group of its convolutions.

        For fewer, oneDNN takes a memory layout that no other layer here has, and computes every sum after
        them in its reference kernel: the network takes 3 times as long, a small one 20 times.
        """
        network = copy.deepcopy(self)
        for block in network.sublayers():
            if isinstance(block, ResidualContextBlock):
                block.conv1, block.conv2 = _pair_groups(block.conv1), _pair_groups(block.conv2)
        return network


def _pair_groups(conv: nn.Conv2D) -> nn.Conv2D:
    """Merge groups pairwise, filling the cross terms with zeros, until a group has more than 16 channels."""
    channels, per_group, size, _ = conv.weight.shape
    groups = channels // per_group // 2
    if per_group > 16 or groups == 0:
        return conv
    first, second = conv.weight.reshape([groups, 2, per_group, per_group, size, size]).unbind(1)
    zeros = paddle.zeros_like(first)
    rows = [paddle.concat([first, zeros], axis=2), paddle.concat([zeros, second], axis=2)]
    paired = conv2d(channels, channels, size, groups)
    paired.weight.set_value(paddle.concat(rows, axis=1).reshape(paired.weight.shape))
    return _pair_groups(paired)


_STREAM = {"top": 0, "mid": 1, "bot": 2}
_SIZE = {"21": "top", "32": "middle", "top": "top", "mid": "middle"}
_BLOCK = r"^body\.(\d)\.body\.([01])\."


def _block(tail: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    """Return the replacement for a name in multi-scale block m[2] of group m[1]; `tail` gives its end."""
    return lambda m: f"body.{m[1]}.blocks.{m[2]}.{tail(m)}."


def _stream(layer: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    return _block(lambda m: f"streams.{_STREAM[m[3]]}.{layer(m)}")


def _sizes(state: Weights) -> dict[str, Any]:
    count = sum(bool(re.match(r"body\.\d\.conv\.weight", name)) for name in state)
    kernels = [state[f"body.{group}.blocks.0.streams.0.conv1.weight"] for group in range(count)]
    return {
        "width": state["first.weight"].shape[0],
        "groups": tuple(kernel.shape[0] // max(kernel.shape[1], 1) for kernel in kernels),
    }


_FOREIGN = ForeignNames(
    rules=[
        (r"^conv_in\.", "first."),
        (r"^conv_out\.", "last."),
        (r"^body\.(\d)\.body\.2\.", r"body.\1.conv."),
        (_BLOCK + r"dau_(\w+)\.body\.([02])\.", _stream(lambda m: f"conv{int(m[4]) // 2 + 1}")),
        (_BLOCK + r"dau_(\w+)\.gcnet\.conv_mask\.", _stream(lambda m: "context.mask")),
        (
            _BLOCK + r"dau_(\w+)\.gcnet\.channel_add_conv\.([02])\.",
            _stream(lambda m: f"context.conv{int(m[4]) // 2 + 1}"),
        ),
        (_BLOCK + r"down2\.body\.0\.bot\.1\.", _block(lambda m: "down_middle.conv")),
        (_BLOCK + r"down4\.([01])\.body\.0\.bot\.1\.", _block(lambda m: f"down_bottom.{m[3]}.conv")),
        (
            _BLOCK + r"up(21|32)_([12])\.body\.0\.bot\.0\.",
            _block(lambda m: f"up_{_SIZE[m[3]]}.{int(m[4]) - 1}.conv"),
        ),
        (_BLOCK + r"skff_(\w+)\.conv_du\.0\.", _block(lambda m: f"fuse_{_SIZE[m[3]]}.squeeze")),
        (_BLOCK + r"skff_(\w+)\.fcs\.([01])\.", _block(lambda m: f"fuse_{_SIZE[m[3]]}.select.{m[4]}")),
        (_BLOCK + r"conv_out\.", _block(lambda m: "conv")),
    ],
    sizes=_sizes,
)


def _golden(name: str) -> Golden:
    return Golden(
        name,
        tag="mirnetv2",
        data="pictures",
        metrics=("psnr", "ssim_y_matlab"),
        objective={"kind": "supervised", "losses": {"charbonnier_clipped": 1.0}},
    )


_PUBLISHED: dict[str, Any] = dict(
    input="srgb",
    scale=1,
    multiple=4,
    halo="global",  # the context blocks pool over the whole picture
    memory=3000,
    paper="Zamir et al., Learning Enriched Features for Fast Image Restoration and Enhancement, TPAMI 2022",
    repository="https://github.com/swz30/MIRNetv2",
    licence="Academic Public License (non-commercial)",
    foreign=_FOREIGN,
)


@register(small={"width": 16, "groups": (4,)}, golden=_golden("mirnetv2_80"), **_PUBLISHED)
def mirnet_v2(
    width: int = 80, groups: Sequence[int] = (1, 2, 4, 4), window: Optional[int] = None
) -> MIRNetV2:
    """The authors' network; 5,858,560 parameters.

    `window`: side in pixels of the window of its averages; by default the whole picture.
    """
    return MIRNetV2(width, groups, window)


@register(small={"width": 32, "groups": (2,)}, golden=_golden("mirnetv2_64"), **_PUBLISHED)
def mirnet_v2_small(
    width: int = 64, groups: Sequence[int] = (1, 2, 4), window: Optional[int] = None
) -> MIRNetV2:
    """The PaddlePaddle reproduction's network; 3,120,288 parameters. `window` as above."""
    return MIRNetV2(width, groups, window)
