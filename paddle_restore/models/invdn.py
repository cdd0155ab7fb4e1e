"""InvDN: an invertible network that replaces the part of its latent that carries the noise.

Paper: Liu et al., "Invertible Denoising Network: A Light Solution for Real Noise Removal",
CVPR 2021. Authors' repository: https://github.com/Yang-Liu1082/InvDN (no licence found in it; its
PaddlePaddle reproduction, https://github.com/hnmizuho/InvDN_paddlepaddle, is Apache-2.0).
"""

from __future__ import annotations

import math
import re

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.models.layers import conv2d
from paddle_restore.models.published import ForeignNames, Golden
from paddle_restore.models.registry import register
from paddle_restore.models.spec import Latent

COLOURS = 3
"""Channels of the low-resolution picture, the first of every level."""


class Haar(nn.Layer):
    """Haar wavelets scaled by 1/4: (N, C, H, W) -> (N, 4C, H/2, W/2), and back by `inverse`.

    The averages of all channels come first, then all differences left minus right, top minus
    bottom and diagonal.
    """

    def __init__(self, channels: int):
        super().__init__()
        wavelets = np.array([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]])
        kernel = np.einsum("khw,oi->koihw", wavelets, np.eye(channels)).reshape(-1, channels, 2, 2)
        self.register_buffer("kernel", paddle.to_tensor(kernel.astype(np.float32)), persistable=False)

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2) / 4

    def inverse(self, y):
        return F.conv2d_transpose(y, self.kernel, stride=2)

    def log_determinant(self, x):
        return math.log(1 / 16) * math.prod(x.shape[1:]) / 4


class Subnet(nn.Layer):
    """(N, in_channels, H, W) -> (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, width: int):
        super().__init__()
        self.conv1 = conv2d(in_channels, width, 3, bias=True)
        self.conv2 = conv2d(width, width, 3, bias=True)
        self.conv3 = conv2d(in_channels + width, out_channels, 3, bias=True)

    def forward(self, x):
        features = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        return self.conv3(paddle.concat([x, features], axis=1))


class Coupling(nn.Layer):
    """Change each part of the channels by a function of the other part; `inverse` undoes it."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        rest = channels - COLOURS
        self.parts = [COLOURS, rest]
        self.f = Subnet(rest, COLOURS, width)
        self.g = Subnet(COLOURS, rest, width)
        self.h = Subnet(COLOURS, rest, width)

    def log_scale(self, y1):
        return 2 * F.sigmoid(self.h(y1)) - 1  # (-1, 1)

    def forward(self, x):
        x1, x2 = x.split(self.parts, axis=1)
        y1 = x1 + self.f(x2)
        y2 = x2 * self.log_scale(y1).exp() + self.g(y1)
        return paddle.concat([y1, y2], axis=1)

    def inverse(self, y):
        y1, y2 = y.split(self.parts, axis=1)
        x2 = (y2 - self.g(y1)) * (-self.log_scale(y1)).exp()
        x1 = y1 - self.f(x2)
        return paddle.concat([x1, x2], axis=1)

    def log_determinant(self, y):
        """Return log |det| of the step that gave `y`, the mean over the batch."""
        return self.log_scale(y[:, :COLOURS]).sum() / y.shape[0]


class InvDN(nn.Layer):
    """Noisy sRGB, [0, 1], (N, 3, H, W) -> clean sRGB of the same size, not clipped.

    H and W are multiples of 4. The latent's channels 0-2 are the clean picture at 1/4 of the size. Channels
    3-47 carry details and noise; they are replaced by samples of a standard normal.
    """

    def __init__(self, width: int, blocks: int):
        super().__init__()
        self.haar = nn.LayerList([Haar(3), Haar(12)])
        self.levels = nn.LayerList(
            nn.LayerList(Coupling(channels, width) for _ in range(blocks)) for channels in (12, 48)
        )

    def encode(self, x):
        """Picture (N, 3, H, W) -> latent (N, 48, H/4, W/4)."""
        for haar, level in zip(self.haar, self.levels):
            x = haar(x)
            for block in level:
                x = block(x)
        return x

    def decode(self, latent):
        """The exact inverse of `encode`."""
        for haar, level in zip(self.haar[::-1], self.levels[::-1]):
            for block in level[::-1]:
                latent = block.inverse(latent)
            latent = haar.inverse(latent)
        return latent

    def log_determinant(self, x):
        """log |det d encode(x) / d x| of a picture, the mean over the batch: a scalar."""
        total = 0
        for haar, level in zip(self.haar, self.levels):
            total += haar.log_determinant(x)
            x = haar(x)
            for block in level:
                x = block(x)
                total += block.log_determinant(x)
        return total

    def forward(self, x, noise=None):
        """`noise` is (N, 45, H/4, W/4), standard normal; without it, it is drawn."""
        low = self.encode(x)[:, :COLOURS]
        if noise is None:
            n, c, h, w = low.shape
            noise = paddle.randn([n, 16 * c - COLOURS, h, w])
        return self.decode(paddle.concat([low, noise], axis=1))


def _coupling(m: re.Match[str]) -> str:
    """The authors' operations 0 and 9 are the wavelets; 8 coupling blocks follow each."""
    level, block = divmod(int(m[1]), 9)
    return f"levels.{level}.{block - 1}.{m[2].lower()}."


_FOREIGN = ForeignNames(
    [
        (r"\.haar_weights$", None),  # constants
        (r"^operations\.(\d+)\.([FGH])\.", _coupling),
    ]
)


@register(
    input="srgb",
    scale=1,
    multiple=4,
    # The receptive field is 570, but influence falls tenfold every 8 pixels: with fresh weights nothing
    # beyond 64 rises above float32 rounding. Trained weights get twice that.
    halo=128,
    fading=True,
    memory=1600,
    latent=Latent(channels=45, stride=4),
    paper="Liu et al., Invertible Denoising Network: A Light Solution for Real Noise Removal, CVPR 2021",
    repository="https://github.com/Yang-Liu1082/InvDN",
    licence="Apache-2.0 (PaddlePaddle reproduction); none found in the authors' repository",
    small={"width": 4, "blocks": 2},
    foreign=_FOREIGN,
    golden=Golden(
        "invdn",
        data="imresize",
        metrics=("psnr", "ssim_y_matlab"),
        objective={"kind": "invertible", "forward": {"l2_sum": 16.0}, "backward": {"l1_sum": 1.0}},
    ),
)
def invdn(width: int = 64, blocks: int = 8) -> InvDN:
    """The published network, x4, 8 coupling blocks a level; 2,640,960 trained parameters."""
    return InvDN(width, blocks)
