"""SID U-Net.

Paper: Chen, Chen, Xu, Koltun, "Learning to See in the Dark", CVPR 2018.
Authors' repository: https://github.com/cchen156/Learning-to-See-in-the-Dark (MIT).
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.models.registry import register


class DoubleConv(nn.Layer):
    """Two 3x3 convolutions, each followed by leaky ReLU 0.2."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        # Xavier, as TensorFlow's slim.conv2d of the authors' code.
        init = nn.initializer.XavierUniform()
        self.conv1 = nn.Conv2D(in_channels, out_channels, 3, padding=1, weight_attr=init)
        self.conv2 = nn.Conv2D(out_channels, out_channels, 3, padding=1, weight_attr=init)

    def forward(self, x):
        x = F.leaky_relu(self.conv1(x), 0.2)
        return F.leaky_relu(self.conv2(x), 0.2)


class Up(nn.Layer):
    """Double height and width by a transposed convolution, then join the encoder's features."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        # tf.truncated_normal(stddev=0.02) of the authors' code, cut at two standard deviations. So does
        # Paddle 2.6 by itself; Paddle 3 cuts where it is told, by default at -2 and 2.
        cut = {} if paddle.__version__.startswith("2.") else {"a": -0.04, "b": 0.04}
        init = nn.initializer.TruncatedNormal(std=0.02, **cut)
        self.conv = nn.Conv2DTranspose(in_channels, out_channels, 2, stride=2, weight_attr=init)

    def forward(self, x, skip):
        return paddle.concat([self.conv(x), skip], axis=1)


class SIDUNet(nn.Layer):
    """Packed raw x ratio, [0, 1], (N, in_channels, H, W) -> RGB (N, 3, scale*H, scale*W).

    H and W are multiples of 16. The output is not clipped.
    """

    def __init__(self, in_channels: int, scale: int, width: int = 32):
        super().__init__()
        widths = [width * 2**level for level in range(5)]  # 32, 64, 128, 256, 512
        self.encoder = nn.LayerList(
            DoubleConv(before, after) for before, after in zip([in_channels, *widths], widths)
        )
        self.up = nn.LayerList(Up(2 * after, after) for after in reversed(widths[:-1]))
        self.decoder = nn.LayerList(DoubleConv(2 * after, after) for after in reversed(widths[:-1]))
        self.head = nn.Conv2D(width, 3 * scale**2, 1, weight_attr=nn.initializer.XavierUniform())
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.encoder):  # (N, 32 * 2^level, H / 2^level, W / 2^level)
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, block, skip in zip(self.up, self.decoder, skips[-2::-1]):
            x = block(up(x, skip))
        return self.shuffle(self.head(x))  # (N, 32, H, W) -> (N, 3, scale*H, scale*W)


_PUBLISHED = dict(
    multiple=16,
    # Measured by tests/models/test_models.py: convolutions 2*(1+2+4+8+16) down and 2*(8+4+2+1)
    # up, and the pooling grid's alignment; rounded up to the multiple.
    halo=112,
    memory=700,
    paper="Chen et al., Learning to See in the Dark, CVPR 2018",
    repository="https://github.com/cchen156/Learning-to-See-in-the-Dark",
    licence="MIT",
)


@register(input="bayer", scale=2, **_PUBLISHED)
def sid_unet(width: int = 32) -> SIDUNet:
    """The Sony network: packed Bayer, 4 -> 12 channels, PixelShuffle 2; 7,760,748 parameters."""
    return SIDUNet(in_channels=4, scale=2, width=width)


@register(input="xtrans", scale=3, **_PUBLISHED)
def sid_unet_xtrans(width: int = 32) -> SIDUNet:
    """The Fuji network: packed X-Trans, 9 -> 27 channels, PixelShuffle 3."""
    return SIDUNet(in_channels=9, scale=3, width=width)
