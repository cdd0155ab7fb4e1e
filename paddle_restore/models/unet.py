"""A small residual U-Net for noisy pictures, the network whose weights come with this package.

Own design, after Ronneberger et al., "U-Net", MICCAI 2015, with residual blocks (He et al., CVPR 2016).
It starts at half resolution (space to depth), where the same work meets four times the channels: wide
layers suit CPUs better than large ones. Nothing pools over the picture, so tiles join without a seam.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle.nn.functional as F
from paddle import nn

from paddle_restore.models.layers import conv2d, pixel_unshuffle
from paddle_restore.models.registry import register

_BORDER, _STEP = 32, 8
"""Pixels by which a picture grows on each side, a multiple of 16, and the first step of them."""


class ResidualBlock(nn.Layer):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = conv2d(channels, channels, 3, bias=True)
        self.conv2 = conv2d(channels, channels, 3, bias=True)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class DenoiseUNet(nn.Layer):
    """sRGB in [0, 1], (N, 3, H, W) -> the same, less its noise. H and W are multiples of 16.

    widths   channels at 1/2, 1/4, 1/8 and 1/16 of the resolution
    encoder  residual blocks at each width on the way down; the last is the bottom
    decoder  residual blocks at each width but the last, on the way up
    """

    def __init__(self, widths: Sequence[int], encoder: Sequence[int], decoder: Sequence[int]):
        super().__init__()
        self.first = conv2d(12, widths[0], 3, bias=True)
        self.encoder = nn.LayerList(_blocks(width, count) for width, count in zip(widths, encoder))
        self.down = nn.LayerList(nn.Conv2D(a, b, 2, stride=2) for a, b in zip(widths, widths[1:]))
        self.up = nn.LayerList(nn.Conv2DTranspose(b, a, 2, stride=2) for a, b in zip(widths, widths[1:]))
        self.decoder = nn.LayerList(_blocks(width, count) for width, count in zip(widths, decoder))
        # Training starts from the noisy picture itself, nearly.
        small = nn.initializer.Uniform(-1e-4, 1e-4)
        self.last = nn.Conv2D(widths[0], 12, 3, padding=1, weight_attr=small, bias_attr=small)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        if self.training:
            return self._restore(x)
        # Zeros around a picture tint its border. Outside of training it is continued by reflection, in two
        # steps, because a picture of 16 pixels cannot be reflected by more than 15.
        x = F.pad(F.pad(x, [_STEP] * 4, mode="reflect"), [_BORDER - _STEP] * 4, mode="reflect")
        return self._restore(x)[:, :, _BORDER:-_BORDER, _BORDER:-_BORDER]

    def _restore(self, x):
        y = self.first(pixel_unshuffle(x, 2))  # (N, widths[0], H/2, W/2)
        skips = []
        for blocks, down in zip(self.encoder, self.down):
            y = blocks(y)
            skips.append(y)
            y = down(y)
        y = self.encoder[-1](y)  # (N, widths[-1], H/16, W/16)
        for level in reversed(range(len(self.up))):
            y = self.decoder[level](self.up[level](y) + skips[level])
        return x + self.shuffle(self.last(y))


@register(
    input="srgb",
    scale=1,
    multiple=16,
    # Measured by tests/models/test_models.py: 6 convolutions at 1/2, 6 at 1/4, 4 at 1/8 and 4 at 1/16 of the
    # resolution, and the grid's alignment; rounded up to the multiple.
    halo=160,
    memory=300,
    paper="a residual variant of Ronneberger et al., U-Net, MICCAI 2015",
    repository="https://lmb.informatik.uni-freiburg.de/people/ronneber/u-net",
    licence="Apache-2.0",
    small={"widths": (4, 4, 8, 8)},
)
def denoise_unet(
    widths: Sequence[int] = (32, 64, 128, 128),
    encoder: Sequence[int] = (1, 1, 1, 2),
    decoder: Sequence[int] = (1, 2, 1),
) -> DenoiseUNet:
    """The network for noisy pictures of any camera."""
    return DenoiseUNet(widths, encoder, decoder)
