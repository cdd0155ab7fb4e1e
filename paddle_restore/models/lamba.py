"""Lamba: three branches at 1/32, 1/8 and 1/2 of the mosaic's size.

Paper: Lamba, Mitra, "Restoring Extremely Dark Images in Real Time", CVPR 2021.
Authors' repository: https://github.com/MohitLamba94/Restoring-Extremely-Dark-Images-In-Real-Time
(code and weights for non-commercial use only; a patent is pending).
"""

from __future__ import annotations

import copy
import math

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.models.layers import pixel_unshuffle
from paddle_restore.models.published import SONY, ForeignNames, Golden
from paddle_restore.models.registry import register


def leaky_relu(x):
    return F.leaky_relu(x, 0.2)


class WeightNormConv2D(nn.Layer):
    """A convolution of kernel g v / |v|, the norm taken per output channel (Salimans 2016).

    It keeps height and width. `plain()` is the same convolution with the kernel multiplied out.

    Initialised as in the authors' code: Kaiming's normal for a leaky ReLU of `slope` (1: no activation), and
    PyTorch's default biases, uniform within 1/sqrt(fan-in).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        groups: int = 1,
        bias: bool = True,
        slope: float = 1.0,
    ):
        super().__init__()
        self.size, self.groups = size, groups
        kaiming = nn.initializer.KaimingNormal(negative_slope=slope, nonlinearity="leaky_relu")
        shape = [out_channels, in_channels // groups, size, size]
        self.weight_v = self.create_parameter(shape, default_initializer=kaiming)
        # g starts as |v|, so that the first kernel is the Kaiming one.
        self.weight_g = self.create_parameter([out_channels, 1, 1, 1])
        self.weight_g.set_value(self._norm())
        self.bias = None
        if bias:
            bound = 1 / math.sqrt(math.prod(shape[1:]))
            uniform = nn.initializer.Uniform(-bound, bound)
            self.bias = self.create_parameter([out_channels], is_bias=True, default_initializer=uniform)

    def _norm(self):
        return self.weight_v.square().sum(axis=[1, 2, 3], keepdim=True).sqrt()

    def _weight(self):
        return self.weight_v * (self.weight_g / self._norm())

    def forward(self, x):
        return F.conv2d(x, self._weight(), self.bias, padding=self.size // 2, groups=self.groups)

    def plain(self) -> nn.Conv2D:
        out_channels, in_per_group = self.weight_v.shape[:2]
        conv = nn.Conv2D(
            in_per_group * self.groups,
            out_channels,
            self.size,
            padding=self.size // 2,
            groups=self.groups,
            bias_attr=None if self.bias is not None else False,
        )
        conv.weight.set_value(self._weight())
        if self.bias is not None:
            conv.bias.set_value(self.bias)
        return conv


class DenseBlock(nn.Layer):
    """3x3 convolutions of all features before them, 1x1 back to `channels`, plus the input.

    The authors' code has no leaky ReLU before the first layer, nor before the last.
    """

    def __init__(self, channels: int, growth: int, depth: int):
        super().__init__()
        self.layers = nn.LayerList(
            WeightNormConv2D(
                channels + i * growth, growth, 3, bias=False, slope=0.2 if i < depth - 1 else 1.0
            )
            for i in range(depth)
        )
        self.fuse = WeightNormConv2D(channels + depth * growth, channels, 1, bias=False)

    def forward(self, x):
        features = x
        for i, layer in enumerate(self.layers):
            inner = 0 < i < len(self.layers) - 1
            new = layer(leaky_relu(features) if inner else features)
            features = paddle.concat([features, new], axis=1)
        return self.fuse(features) + x


class ResidualBlock(nn.Layer):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = WeightNormConv2D(channels, channels, 3, slope=0.2)
        self.conv2 = WeightNormConv2D(channels, channels, 3)

    def forward(self, x):
        return self.conv2(leaky_relu(self.conv1(x))) + x


class Lamba(nn.Layer):
    """Mosaic x ratio, 0 and more, not clipped at 1, (N, 1, H, W) -> RGB, [0, 1], (N, 3, H, W).

    H and W are multiples of 32.
    """

    def __init__(self):
        super().__init__()
        self.coarse_in = WeightNormConv2D(1024, 128, 3, groups=128)
        self.coarse_squeeze = WeightNormConv2D(128, 64, 3)
        self.dense = nn.LayerList(DenseBlock(64, growth=32, depth=depth) for depth in (4, 5, 5))
        self.dense_fuse = WeightNormConv2D(3 * 64, 64, 1, bias=False)
        self.coarse_out = WeightNormConv2D(4, 64, 3)
        self.middle = ResidualBlock(64)
        self.join = WeightNormConv2D(128, 32, 3, groups=4)
        self.expand = WeightNormConv2D(32, 192, 3, slope=0.2)
        self.fine = WeightNormConv2D(4, 12, 5)
        self.head = WeightNormConv2D(24, 12, 5)

    def forward(self, x):
        half = pixel_unshuffle(x, 2)  # (N, 4, H/2, W/2)
        return self.joined(self.coarse_branch(half), self.middle_branch(half), self.fine(half))

    # The three branches are independent; benchmarks/lamba_branches.py runs them at once.

    def coarse_branch(self, half):
        coarse = self.coarse_squeeze(self.coarse_in(pixel_unshuffle(half, 16)))  # (N, 64, H/32, W/32)
        dense = [coarse]
        for block in self.dense:
            dense.append(block(dense[-1]))
        coarse = self.dense_fuse(paddle.concat(dense[1:], axis=1)) + coarse
        return self.coarse_out(F.pixel_shuffle(coarse, 4))  # (N, 64, H/8, W/8)

    def middle_branch(self, half):
        return self.middle(pixel_unshuffle(half, 4))  # (N, 64, H/8, W/8)

    def joined(self, coarse, middle, fine):
        # A channel shuffle of 2 groups: channels of middle and coarse alternate.
        joined = paddle.stack([middle, coarse], axis=2).flatten(1, 2)  # (N, 128, H/8, W/8)
        joined = leaky_relu(self.expand(self.join(joined)))  # (N, 192, H/8, W/8)
        joined = F.pixel_shuffle(joined, 4)  # (N, 12, H/2, W/2)

        out = self.head(paddle.concat([fine, joined], axis=1))  # (N, 12, H/2, W/2)
        return F.pixel_shuffle(out, 2).clip(0, 1)

    def deployed(self) -> Lamba:
        """The same network with plain convolutions, for evaluation and export."""
        network = copy.deepcopy(self)
        for layer in network.sublayers(include_self=True):
            for name, child in layer.named_children():
                if isinstance(child, WeightNormConv2D):
                    layer.add_sublayer(name, child.plain())
        return network


_FOREIGN = ForeignNames(
    [
        (r"^conv32x\.0\.0\.", "coarse_in."),
        (r"^conv32x\.1\.0\.", "coarse_squeeze."),
        (
            r"^RDB([123])\.dense_layers\.(\d)\.conv\.[01]\.",
            lambda m: f"dense.{int(m[1]) - 1}.layers.{m[2]}.",
        ),
        (r"^RDB([123])\.conv_1x1\.0\.", lambda m: f"dense.{int(m[1]) - 1}.fuse."),
        (r"^rdball\.0\.", "dense_fuse."),
        (r"^conv_rdb8x\.0\.", "coarse_out."),
        (r"^resblock8x\.(conv[12])\.0\.", r"middle.\1."),
        (r"^conv32_8_cat\.0\.0\.", "join."),
        (r"^conv32_8_cat\.1\.0\.", "expand."),
        (r"^conv2x\.0\.", "fine."),
        (r"^conv_2_8_32\.0\.", "head."),
    ]
)


@register(
    input="mosaic",
    clip=False,
    amplifier=True,
    scale=1,
    multiple=32,
    # Measured 571 by tests/models/test_models.py: 16 convolutions at 1/32, 3 at 1/8, one at 1/2.
    halo=576,
    memory=100,
    paper="Lamba and Mitra, Restoring Extremely Dark Images in Real Time, CVPR 2021",
    repository="https://github.com/MohitLamba94/Restoring-Extremely-Dark-Images-In-Real-Time",
    licence="code and weights: non-commercial use only, patent pending",
    camera=SONY,
    foreign=_FOREIGN,
    golden=Golden(
        "lamba",
        data="amplifier",
        metrics=("psnr", "ssim_skimage_uint8"),
        objective={"kind": "supervised", "losses": {"l1": 1.0}},
    ),
)
def lamba() -> Lamba:
    """The published network; 784,768 parameters."""
    return Lamba()
