"""A small residual U-Net for noisy raw frames, one of the two networks whose weights come with this package.

Own design, after Ronneberger et al., "U-Net", MICCAI 2015, with residual blocks (He et al., CVPR 2016). Its
input is stabilised (`data/stabilise.py`): noise has standard deviation 1, whatever the camera and ISO. So
one network trained on clean photographs serves all sensors, as in "YOND: Practical Blind Raw Image
Denoising Free from Camera-Specific Data Dependency", 2025. Nothing pools over the picture, so tiles join
without a seam.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F

from paddle_restore.models.registry import register
from paddle_restore.models.unet import ResidualUNet

_MEAN = 5
"""Side of the window whose mean is the brightness around a pixel."""

_BRIGHT = 32.0
"""Brightness, in standard deviations of the noise, that the network sees as 1."""


class RawUNet(ResidualUNet):
    """Stabilised packed Bayer (N, 4, H, W) -> the same, less its noise. H and W are multiples of 8.

    0 is black, noise has standard deviation 1, white is 10 to 800; values may be negative.
    """

    def __init__(self, widths: Sequence[int], encoder: Sequence[int], decoder: Sequence[int]):
        super().__init__(8, 4, widths, encoder, decoder, border=16)

    def restore(self, x):
        # Brightness goes up to hundreds of standard deviations. Taken apart from the detail, it drowns
        # nothing, in bfloat16 neither.
        mean = F.avg_pool2d(x, _MEAN, stride=1, padding=_MEAN // 2, exclusive=True)
        return x + self.correction(paddle.concat([x - mean, mean / _BRIGHT], axis=1))


@register(
    input="bayer",
    output="mosaic",
    scale=1,
    multiple=8,
    # The receptive field is 83. With trained weights, what lies beyond 64 changes nothing by more than 1e-4
    # standard deviations of the noise.
    halo=64,
    fading=True,
    memory=900,
    paper="a residual variant of Ronneberger et al., U-Net, MICCAI 2015",
    repository="https://lmb.informatik.uni-freiburg.de/people/ronneber/u-net",
    licence="Apache-2.0",
    small={"widths": (4, 4, 8, 8)},
)
def denoise_raw(
    widths: Sequence[int] = (32, 48, 96, 128),
    encoder: Sequence[int] = (1, 1, 2, 2),
    decoder: Sequence[int] = (1, 2, 1),
) -> RawUNet:
    """The network for noisy raw frames of any camera."""
    return RawUNet(widths, encoder, decoder)
