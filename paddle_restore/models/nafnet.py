"""NAFNet: a U-Net whose blocks have no activation function but a product of two halves.

Paper: Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022.
Authors' repository: https://github.com/megvii-research/NAFNet (MIT).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any, Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.errors import UserError
from paddle_restore.models.layers import Averages, conv2d, spec_of_window
from paddle_restore.models.published import ForeignNames, Golden, Weights
from paddle_restore.models.registry import register

EPSILON = 1e-6


class ChannelNorm(nn.Layer):
    """Layer normalisation over the channels of each pixel (Ba et al. 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = self.create_parameter([channels], default_initializer=nn.initializer.Constant(1.0))
        self.bias = self.create_parameter([channels], is_bias=True)

    def forward(self, x):
        x = F.layer_norm(x.transpose([0, 2, 3, 1]), self.weight.shape, self.weight, self.bias, EPSILON)
        return x.transpose([0, 3, 1, 2])


def gate(x):
    """(N, 2C, H, W) -> (N, C, H, W): the first half of the channels times the second."""
    first, second = x.chunk(2, axis=1)
    return first * second


class Block(nn.Layer):
    """(N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, averages: Averages):
        super().__init__()
        self.averages = averages
        c = channels
        self.norm1 = ChannelNorm(c)
        self.conv1 = conv2d(c, 2 * c, 1, bias=True)
        self.conv2 = conv2d(2 * c, 2 * c, 3, groups=2 * c, bias=True)
        self.attention = conv2d(c, c, 1, bias=True)
        self.conv3 = conv2d(c, c, 1, bias=True)
        self.norm2 = ChannelNorm(c)
        self.conv4 = conv2d(c, 2 * c, 1, bias=True)
        self.conv5 = conv2d(c, c, 1, bias=True)
        zero = nn.initializer.Constant(0.0)
        self.beta = self.create_parameter([1, c, 1, 1], default_initializer=zero)
        self.gamma = self.create_parameter([1, c, 1, 1], default_initializer=zero)

    def forward(self, x):
        y = gate(self.conv2(self.conv1(self.norm1(x))))
        y = y * self.averages.spread(self.attention(self.averages(y)))  # (N, C, H, W) * (N, C, 1, 1)
        x = x + self.conv3(y) * self.beta
        return x + self.conv5(gate(self.conv4(self.norm2(x)))) * self.gamma


class DeployedBlock(nn.Layer):
    """The same block for inference.

    Scales and shifts are folded into convolutions. Gated convolutions are split into their halves, and means
    over channels are 1x1 convolutions. The network takes 0.8 of the time with Paddle Inference, 0.6 with
    OpenVINO and 0.35 with OpenVINO in bf16 (docs/backends.md).
    """

    def __init__(self, block: Block):
        super().__init__()
        channels = block.conv3.weight.shape[0]
        self.register_buffer("mean", paddle.full([1, channels, 1, 1], 1 / channels), persistable=False)
        self.conv1 = _halves(*_after_norm(block.conv1, block.norm1))
        self.conv2 = _halves(block.conv2.weight, block.conv2.bias)
        self.averages, self.attention = block.averages, block.attention
        self.conv3 = _scaled(block.conv3, block.beta)
        self.conv4 = _halves(*_after_norm(block.conv4, block.norm2))
        self.conv5 = _scaled(block.conv5, block.gamma)

    def normalised(self, x):
        x = x - F.conv2d(x, self.mean)  # (N, C, H, W) - (N, 1, H, W)
        return x * paddle.rsqrt(F.conv2d(x * x, self.mean) + EPSILON)

    def forward(self, x):
        y = self.normalised(x)
        first, second = (conv2(conv1(y)) for conv1, conv2 in zip(self.conv1, self.conv2))
        y = first * second
        y = y * self.averages.spread(self.attention(self.averages(y)))
        x = x + self.conv3(y)
        y = self.normalised(x)
        first, second = (conv4(y) for conv4 in self.conv4)
        return x + self.conv5(first * second)


def _conv(weight: paddle.Tensor, bias: paddle.Tensor) -> nn.Conv2D:
    """Return the convolution of these weights: 1x1, or depthwise 3x3."""
    channels, per_group, size, _ = weight.shape
    groups = channels if size == 3 else 1
    conv = conv2d(per_group * groups, channels, size, groups, bias=True)
    conv.weight.set_value(weight)
    conv.bias.set_value(bias)
    return conv


def _halves(weight: paddle.Tensor, bias: paddle.Tensor) -> nn.LayerList:
    """Return two convolutions of half the output channels each."""
    return nn.LayerList(map(_conv, weight.chunk(2), bias.chunk(2)))


def _after_norm(conv: nn.Conv2D, norm: ChannelNorm) -> tuple[paddle.Tensor, paddle.Tensor]:
    """Return weight and bias of a 1x1 convolution that takes the scale and shift of `norm` into itself."""
    shift = paddle.matmul(conv.weight.flatten(1), norm.bias)
    return conv.weight * norm.weight.reshape([1, -1, 1, 1]), conv.bias + shift


def _scaled(conv: nn.Conv2D, scale: paddle.Tensor) -> nn.Conv2D:
    return _conv(conv.weight * scale.reshape([-1, 1, 1, 1]), conv.bias * scale.flatten())


class Up(nn.Layer):
    """(N, C, H, W) -> (N, C/2, 2H, 2W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv2d(channels, 2 * channels, 1)

    def forward(self, x):
        return F.pixel_shuffle(self.conv(x), 2)


def _down(channels: int) -> nn.Conv2D:
    """(N, C, H, W) -> (N, 2C, H/2, W/2), initialised as `conv2d`."""
    bound = (4 * channels) ** -0.5
    init = nn.initializer.Uniform(-bound, bound)
    return nn.Conv2D(channels, 2 * channels, 2, stride=2, weight_attr=init, bias_attr=init)


class NAFNet(nn.Layer):
    """Noisy sRGB, [0, 1], (N, 3, H, W) -> clean sRGB of the same size, not clipped.

    H and W are multiples of 16 (of 2 to the number of levels).
    """

    def __init__(
        self,
        width: int,
        encoder: Sequence[int],
        middle: int,
        decoder: Sequence[int],
        window: Optional[int] = None,
    ):
        super().__init__()
        self.spec_fields = spec_of_window(window)
        if len(encoder) != len(decoder) or len(encoder) > 4:
            raise UserError(
                f"NAFNet's encoder {encoder} and decoder {decoder} must have as many levels, at most 4"
            )

        def blocks(count: int, level: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width * 2**level, Averages(window, level)) for _ in range(count)))

        levels = range(len(encoder))
        self.first = conv2d(3, width, 3, bias=True)
        self.encoder = nn.LayerList(blocks(count, level) for level, count in enumerate(encoder))
        self.down = nn.LayerList(_down(width * 2**level) for level in levels)
        self.middle = blocks(middle, len(encoder))
        self.up = nn.LayerList(Up(width * 2 ** (level + 1)) for level in reversed(levels))
        self.decoder = nn.LayerList(blocks(count, level) for level, count in zip(reversed(levels), decoder))
        self.last = conv2d(width, 3, 3, bias=True)

    def forward(self, x):
        y, skips = self.first(x), []
        for blocks, down in zip(self.encoder, self.down):
            y = blocks(y)  # (N, width * 2^level, H / 2^level, W / 2^level)
            skips.append(y)
            y = down(y)
        y = self.middle(y)
        for up, blocks, skip in zip(self.up, self.decoder, reversed(skips)):
            y = blocks(up(y) + skip)
        return self.last(y) + x

    def deployed(self) -> NAFNet:
        """The same network with blocks for inference, for evaluation and export."""
        network = copy.deepcopy(self)
        for blocks in [*network.encoder, network.middle, *network.decoder]:
            for name, block in blocks.named_children():
                blocks.add_sublayer(name, DeployedBlock(block))
        return network


_GROUPS = {"encoders": "encoder", "decoders": "decoder", "middle_blks": "middle"}


def _block(m: re.Match[str]) -> str:
    return f"{_GROUPS[m[1]]}.{m[2]}."


def _sizes(state: Weights) -> dict[str, Any]:
    def count(prefix: str) -> int:
        return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})

    levels = range(count("down."))
    return {
        "width": state["first.weight"].shape[0],
        "encoder": tuple(count(f"encoder.{level}.") for level in levels),
        "middle": count("middle."),
        "decoder": tuple(count(f"decoder.{level}.") for level in levels),
    }


_FOREIGN = ForeignNames(
    rules=[
        (r"^intro\.", "first."),
        (r"^ending\.", "last."),
        (r"^downs\.(\d)\.", r"down.\1."),
        (r"^ups\.(\d)\.0\.", r"up.\1.conv."),
        (r"^(encoders|decoders|middle_blks)\.([\d.]+)\.sca\.1\.", lambda m: _block(m) + "attention."),
        (r"^(encoders|decoders|middle_blks)\.([\d.]+)\.", _block),
    ],
    sizes=_sizes,
)


@register(
    input="srgb",
    scale=1,
    multiple=16,
    halo="global",  # the attention pools over the whole picture
    memory=3000,
    paper="Chen et al., Simple Baselines for Image Restoration, ECCV 2022",
    repository="https://github.com/megvii-research/NAFNet",
    licence="MIT",
    small={"width": 8, "encoder": (1, 1, 1, 1), "middle": 1, "decoder": (1, 1, 1, 1)},
    foreign=_FOREIGN,
    golden=Golden(
        "nafnet",
        data="pictures",
        metrics=("psnr", "ssim_y_matlab"),
        args={"width": 16, "encoder": (1, 1, 1, 2), "middle": 1, "decoder": (1, 1, 1, 1)},
        objective={"kind": "supervised", "losses": {"psnr": 1.0}},
        optimizer="adamw",
        ones=("norm1.weight", "norm2.weight"),
    ),
)
def nafnet(
    width: int = 32,
    encoder: Sequence[int] = (2, 2, 4, 8),
    middle: int = 12,
    decoder: Sequence[int] = (2, 2, 2, 2),
    window: Optional[int] = None,
) -> NAFNet:
    """The authors' network for SIDD, 29,159,715 parameters; of width 64, 115,982,915.

    `window`: side in pixels of the window of its averages, 1.5 times the training crop; by default the whole
    picture.
    """
    return NAFNet(width, encoder, middle, decoder, window)
