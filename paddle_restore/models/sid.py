"""SID U-Net.

Paper: Chen, Chen, Xu, Koltun, "Learning to See in the Dark", CVPR 2018.
Authors' repository: https://github.com/cchen156/Learning-to-See-in-the-Dark (MIT).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.models.published import FUJI, SONY, ForeignNames, Golden
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
    """Double height and width by a transposed convolution, then append the encoder's features."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        # tf.truncated_normal(stddev=0.02) of the authors' code, cut at two standard deviations. Paddle 2.6
        # cuts there by itself; Paddle 3 cuts where it is told, by default at -2 and 2.
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


# Published checkpoints: the PyTorch ports (conv1_1, upv6, conv10_1), SID-Paddle (conv1.conv.0, up6,
# conv10) and the authors' TensorFlow checkpoints (g_conv1_1/weights, Variable, g_conv10/weights).


def _flip_axes(kernel: np.ndarray) -> np.ndarray:
    """TensorFlow's HWIO -> OIHW for convolutions, and HWOI -> IOHW for transposed ones."""
    return kernel.transpose(3, 2, 0, 1)


def _depth_to_space(array: np.ndarray) -> np.ndarray:
    """Output channels in TensorFlow's order (block, colour) -> PixelShuffle's, (colour, block)."""
    blocks = array.reshape(-1, 3, *array.shape[1:])
    return blocks.swapaxes(0, 1).reshape(array.shape)


def _up(kernel: np.ndarray) -> dict[str, np.ndarray]:
    # The authors' transposed convolutions have no bias, ours have.
    return {"weight": _flip_axes(kernel), "bias": np.zeros(kernel.shape[2], kernel.dtype)}


def _conv(m: Any) -> str:
    """encoder.0 … encoder.4 are the authors' 1 … 5, decoder.0 … decoder.3 their 6 … 9."""
    block = int(m["block"])
    return (f"encoder.{block - 1}" if block <= 5 else f"decoder.{block - 6}") + f".conv{m['conv']}."


_FOREIGN = ForeignNames(
    rules=[
        (r"^conv10(_1)?\.", "head."),
        (r"^conv(?P<block>[1-9])_(?P<conv>[12])\.", _conv),
        (r"^conv(?P<block>[1-9])\.conv\.0\.", lambda m: _conv({"block": m["block"], "conv": 1})),
        (r"^conv(?P<block>[1-9])\.conv\.2\.", lambda m: _conv({"block": m["block"], "conv": 2})),
        (r"^upv?([6-9])\.", lambda m: f"up.{int(m[1]) - 6}.conv."),
        # TensorFlow
        (r"^g_conv10/weights$", "head.weight", lambda kernel: _depth_to_space(_flip_axes(kernel))),
        (r"^g_conv10/biases$", "head.bias", _depth_to_space),
        (r"^g_conv(?P<block>[1-9])_(?P<conv>[12])/weights$", lambda m: _conv(m) + "weight", _flip_axes),
        (r"^g_conv(?P<block>[1-9])_(?P<conv>[12])/biases$", lambda m: _conv(m) + "bias"),
        (r"^Variable(?:_([123]))?$", lambda m: f"up.{m[1] or 0}.conv.", _up),
    ],
    sizes=lambda weights: {"width": weights["head.weight"].shape[1]},
)

_PUBLISHED: dict[str, Any] = dict(
    multiple=16,
    # Measured by tests/models/test_models.py: convolutions 2*(1+2+4+8+16) down and 2*(8+4+2+1) up, and
    # the alignment of the pooling grid; rounded up to the multiple.
    halo=112,
    memory=700,
    paper="Chen et al., Learning to See in the Dark, CVPR 2018",
    repository="https://github.com/cchen156/Learning-to-See-in-the-Dark",
    licence="MIT",
    small={"width": 4},
    foreign=_FOREIGN,
)


@register(
    input="bayer",
    scale=2,
    camera=SONY,
    golden=Golden(
        "sid_sony",
        data="bayer",
        metrics=("psnr", "ssim_rgb_matlab"),
        objective={"kind": "supervised", "losses": {"l1": 1.0}},
    ),
    **_PUBLISHED,
)
def sid_unet(width: int = 32) -> SIDUNet:
    """The Sony network: packed Bayer, 4 -> 12 channels, PixelShuffle 2; 7,760,748 parameters."""
    return SIDUNet(in_channels=4, scale=2, width=width)


@register(
    input="xtrans",
    scale=3,
    camera=FUJI,
    golden=Golden("sid_tf_fuji", data="xtrans", metrics=("psnr", "ssim_rgb_matlab")),
    **_PUBLISHED,
)
def sid_unet_xtrans(width: int = 32) -> SIDUNet:
    """The Fuji network: packed X-Trans, 9 -> 27 channels, PixelShuffle 3."""
    return SIDUNet(in_channels=9, scale=3, width=width)
