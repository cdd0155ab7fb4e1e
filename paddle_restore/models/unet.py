"""A small residual U-Net for noisy pictures, one of the two networks whose weights come with this package.

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


class ResidualBlock(nn.Layer):
    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = conv2d(channels, channels, 3, bias=True)
        self.conv2 = conv2d(channels, channels, 3, bias=True)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class ResidualUNet(nn.Layer):
    """What the denoisers share: a U-Net without a skip around it, and how a picture goes on at its border.

    inputs, outputs  channels
    widths   channels at 1/1, 1/2, 1/4 and 1/8 of its resolution
    encoder  residual blocks at each width on the way down; the last is the bottom
    decoder  residual blocks at each width but the last, on the way up
    border   pixels by which a picture grows on each side outside of training, a multiple of the network's
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        encoder: Sequence[int],
        decoder: Sequence[int],
        border: int,
    ):
        super().__init__()
        self.border = border
        self.first = conv2d(inputs, widths[0], 3, bias=True)
        self.encoder = nn.LayerList(_blocks(width, count) for width, count in zip(widths, encoder))
        self.down = nn.LayerList(nn.Conv2D(a, b, 2, stride=2) for a, b in zip(widths, widths[1:]))
        self.up = nn.LayerList(nn.Conv2DTranspose(b, a, 2, stride=2) for a, b in zip(widths, widths[1:]))
        self.decoder = nn.LayerList(_blocks(width, count) for width, count in zip(widths, decoder))
        # Training starts from the noisy picture itself, nearly.
        small = nn.initializer.Uniform(-1e-4, 1e-4)
        self.last = nn.Conv2D(widths[0], outputs, 3, padding=1, weight_attr=small, bias_attr=small)

    def forward(self, x):
        if self.training:
            return self.restore(x)
        # Zeros around a picture tint its border. Outside of training it is continued by reflection, in two
        # steps, because the smallest picture, half a border wide, cannot be reflected by the whole of it.
        border, step = self.border, self.border // 4
        x = F.pad(F.pad(x, [step] * 4, mode="reflect"), [border - step] * 4, mode="reflect")
        return self.restore(x)[:, :, border:-border, border:-border]

    def restore(self, x):
        """The network's input -> its output, of the same size."""
        raise NotImplementedError

    def correction(self, x):
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        y = self.first(x)  # (N, widths[0], H, W)
        skips = []
        for blocks, down in zip(self.encoder, self.down):
            y = blocks(y)
            skips.append(y)
            y = down(y)
        y = self.encoder[-1](y)  # (N, widths[-1], H/8, W/8)
        for level in reversed(range(len(self.up))):
            y = self.decoder[level](self.up[level](y) + skips[level])
        return self.last(y)


class DenoiseUNet(ResidualUNet):
    """sRGB in [0, 1], (N, 3, H, W) -> the same, less its noise. H and W are multiples of 16.

    The U-Net works at half resolution. `widths`, `encoder` and `decoder` as of ResidualUNet.
    """

    def __init__(self, widths: Sequence[int], encoder: Sequence[int], decoder: Sequence[int]):
        super().__init__(12, 12, widths, encoder, decoder, border=32)
        self.shuffle = nn.PixelShuffle(2)

    def restore(self, x):
        return x + self.shuffle(self.correction(pixel_unshuffle(x, 2)))


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
