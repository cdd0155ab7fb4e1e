"""MIRNet (v1).

Paper: Zamir et al., "Learning Enriched Features for Real Image Restoration and Enhancement",
ECCV 2020. Authors' repository: https://github.com/swz30/MIRNet (Academic Public License,
non-commercial).
"""

from __future__ import annotations

import copy
import re
from typing import Optional

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

STREAMS = 3


class SpatialAttention(nn.Layer):
    """Weigh every pixel by a 5x5 convolution of its channels' maximum and mean."""

    def __init__(self):
        super().__init__()
        self.conv = conv2d(2, 1, 5)

    def forward(self, x):
        summary = paddle.concat([x.max(axis=1, keepdim=True), x.mean(axis=1, keepdim=True)], axis=1)
        return x * F.sigmoid(self.conv(summary))  # (N, C, H, W) * (N, 1, H, W)


class ChannelAttention(nn.Layer):
    """Weigh every channel by two 1x1 convolutions of all channels' means."""

    def __init__(self, channels: int, averages: Averages):
        super().__init__()
        self.averages = averages
        self.conv1 = conv2d(channels, channels // 8, 1)
        self.conv2 = conv2d(channels // 8, channels, 1)

    def forward(self, x):
        pooled = F.relu(self.conv1(self.averages(x)))
        return x * self.averages.spread(F.sigmoid(self.conv2(pooled)))  # (N, C, H, W) * (N, C, 1, 1)


class DualAttentionUnit(nn.Layer):
    def __init__(self, channels: int, activation: nn.PReLU, averages: Averages):
        super().__init__()
        self.conv1 = conv2d(channels, channels, 3)
        self.activation = activation
        self.conv2 = conv2d(channels, channels, 3)
        self.spatial = SpatialAttention()
        self.channel = ChannelAttention(channels, averages)
        self.join = conv2d(2 * channels, channels, 1)

    def forward(self, x):
        residual = self.conv2(self.activation(self.conv1(x)))
        attended = paddle.concat([self.spatial(residual), self.channel(residual)], axis=1)
        return self.join(attended) + x


class BlurDown(nn.Layer):
    """Half the size without aliasing: [1, 2, 1] x [1, 2, 1] / 16 at stride 2, border reflected.

    Two 2x2 averages, the second at stride 2, are that filter. Padding that an average leaves out has the
    effect of the reflection.
    """

    def forward(self, x):
        return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2, stride=2, padding=1, exclusive=True)


class Down(nn.Layer):
    """(N, C, H, W) -> (N, 2C, H/2, W/2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.main = nn.Sequential(
            conv2d(channels, channels, 1),
            nn.PReLU(),
            conv2d(channels, channels, 3),
            nn.PReLU(),
            BlurDown(),
            conv2d(channels, 2 * channels, 1),
        )
        self.side = nn.Sequential(BlurDown(), conv2d(channels, 2 * channels, 1))

    def forward(self, x):
        return self.main(x) + self.side(x)


class DoublingConv(nn.Layer):
    """A 3x3 transposed convolution at stride 2: (N, C, H, W) -> (N, C, 2H, 2W).

    It crops the first row and column itself: with `output_padding`, PaddlePaddle 3.3 exports dynamic H and
    W as 0.
    """

    def __init__(self, channels: int):
        super().__init__()
        bound = (9 * channels) ** -0.5
        init = nn.initializer.Uniform(-bound, bound)
        self.conv = nn.Conv2DTranspose(channels, channels, 3, 2, weight_attr=init, bias_attr=False)

    def forward(self, x):
        return self.conv(x)[:, :, 1:, 1:]


class Up(nn.Layer):
    """(N, C, H, W) -> (N, C/2, 2H, 2W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.main = nn.Sequential(
            conv2d(channels, channels, 1),
            nn.PReLU(),
            DoublingConv(channels),
            nn.PReLU(),
            conv2d(channels, channels // 2, 1),
        )
        self.side = BilinearUp(channels, channels // 2)

    def forward(self, x):
        return self.main(x) + self.side(x)


class MultiScaleBlock(nn.Layer):
    """Streams of c, 2c, 4c channels at full, half and quarter size, each fused with all others."""

    def __init__(self, channels: int, activation: nn.PReLU, window: Optional[int]):
        super().__init__()
        c1, c2, c4 = channels, 2 * channels, 4 * channels
        averages = [Averages(window, level) for level in range(STREAMS)]
        # Each stream uses its unit before and after the exchange, as in the authors' code.
        self.streams = nn.LayerList(
            DualAttentionUnit(c, activation, a) for c, a in zip((c1, c2, c4), averages)
        )
        # Named FROMtoTO. The first column goes down by the layers that the exchange uses too.
        self.resize = nn.LayerDict(
            {
                "0to1": Down(c1),
                "0to2": nn.Sequential(Down(c1), Down(c2)),
                "1to2": Down(c2),
                "1to0": Up(c2),
                "2to0": nn.Sequential(Up(c4), Up(c2)),
                "2to1": Up(c4),
            }
        )
        self.last_up = nn.LayerList([nn.Identity(), Up(c2), nn.Sequential(Up(c4), Up(c2))])
        self.fuse = nn.LayerList(
            SelectiveKernelFusion(c, STREAMS, nn.PReLU(), a) for c, a in zip((c1, c2, c4), averages)
        )
        self.conv = conv2d(channels, channels, 3)

    def forward(self, x):
        first = self.streams[0](x)  # (N, c, H, W)
        second = self.streams[1](self.resize["0to1"](first))  # (N, 2c, H/2, W/2)
        third = self.streams[2](self.resize["1to2"](second))  # (N, 4c, H/4, W/4)
        before = [first, second, third]

        after = []
        for i in range(STREAMS):
            arriving = [y if k == i else self.resize[f"{k}to{i}"](y) for k, y in enumerate(before)]
            after.append(self.streams[i](self.fuse[i](arriving)))

        full_size = [up(y) for up, y in zip(self.last_up, after)]
        return self.conv(self.fuse[0](full_size)) + x


class ResidualGroup(nn.Layer):
    def __init__(self, channels: int, blocks: int, activation: nn.PReLU, window: Optional[int]):
        super().__init__()
        self.blocks = nn.Sequential(*(MultiScaleBlock(channels, activation, window) for _ in range(blocks)))
        self.conv = conv2d(channels, channels, 3)

    def forward(self, x):
        return self.conv(self.blocks(x)) + x


class MIRNet(nn.Layer):
    """Noisy sRGB, [0, 1], (N, 3, H, W) -> clean sRGB of the same size, not clipped.

    H and W are multiples of 4.
    """

    def __init__(self, width: int, n_rrg: int, n_msrb: int, window: Optional[int] = None):
        super().__init__()
        self.spec_fields = spec_of_window(window)
        if width < 8:
            raise UserError(f"MIRNet's width must be 8 or more, not {width}")
        # All dual attention units share one slope, as in the authors' code.
        activation = nn.PReLU()
        self.first = conv2d(3, width, 3)
        groups = (ResidualGroup(width, n_msrb, activation, window) for _ in range(n_rrg))
        self.body = nn.Sequential(*groups)
        self.last = conv2d(width, 3, 3)

    def forward(self, x):
        return self.last(self.body(self.first(x))) + x

    def deployed(self) -> MIRNet:
        """The same network with leaky ReLU for PReLU, which oneDNN runs in its reference kernel."""
        network = copy.deepcopy(self)
        for layer in network.sublayers():
            for name, child in layer.named_children():
                if isinstance(child, nn.PReLU):
                    layer.add_sublayer(name, nn.LeakyReLU(child.parameters()[0].item()))
        return network


_BLOCK = r"^body\.(\d)\.body\.(\d)\."
_UNIT = _BLOCK + r"blocks\.(\d)\.[01]\."  # both columns hold the same unit
_RESIZE = {
    "down.64_2": "resize.0to1",
    "down.64_4": "resize.0to2",
    "down.128_2": "resize.1to2",
    "up.128_2": "resize.1to0",
    "up.256_4": "resize.2to0",
    "up.256_2": "resize.2to1",
    "last_up.1": "last_up.1",
    "last_up.2": "last_up.2",
}
_TWO_STEPS = ("down.64_4", "up.256_4", "last_up.2")


def _resize(m: re.Match[str]) -> str:
    """m: group, block, resizing, its step, main ("top") or side ("bot") path, layer of the path."""
    step = f".{m[4]}" if m[3] in _TWO_STEPS else ""
    down = m[3].startswith("down")
    layer = {
        "top1": "main.1._weight",  # PReLU's parameter
        "top2": "main.2.weight" if down else "main.2.conv.weight",
        "top3": "main.3._weight",
        "bot1": "side.1.weight" if down else "side.conv.weight",
    }.get(m[5] + m[6], f"main.{m[6]}.weight")
    return f"body.{m[1]}.blocks.{m[2]}.{_RESIZE[m[3]]}{step}.{layer}"


def _sizes(state: Weights) -> dict[str, int]:
    blocks = [re.match(r"body\.(\d)\.blocks\.(\d)\.conv\.weight", name) for name in state]
    return {
        "width": state["first.weight"].shape[0],
        "n_rrg": 1 + max(int(m[1]) for m in blocks if m),
        "n_msrb": 1 + max(int(m[2]) for m in blocks if m),
    }


_FOREIGN = ForeignNames(
    rules=[
        (r"\.filt$", None),  # the blur's fixed kernel
        (r"^conv_in\.", "first."),
        (r"^conv_out\.", "last."),
        (_UNIT + r"body\.0\.", r"body.\1.blocks.\2.streams.\3.conv1."),
        (_UNIT + r"body\.1\.", r"body.\1.blocks.\2.streams.\3.activation._"),
        (_UNIT + r"body\.2\.", r"body.\1.blocks.\2.streams.\3.conv2."),
        (_UNIT + r"SA\.spatial\.conv\.", r"body.\1.blocks.\2.streams.\3.spatial.conv."),
        (_UNIT + r"CA\.conv_du\.0\.", r"body.\1.blocks.\2.streams.\3.channel.conv1."),
        (_UNIT + r"CA\.conv_du\.2\.", r"body.\1.blocks.\2.streams.\3.channel.conv2."),
        (_UNIT + r"conv1x1\.", r"body.\1.blocks.\2.streams.\3.join."),
        (_BLOCK + r"(last_up\.[12]|(?:up|down)\.\d+_[24])\.body\.([01])\.(top|bot)\.(\d)\.weight", _resize),
        (_BLOCK + r"selective_kernel\.(\d)\.conv_du\.0\.", r"body.\1.blocks.\2.fuse.\3.squeeze."),
        (_BLOCK + r"selective_kernel\.(\d)\.conv_du\.1\.", r"body.\1.blocks.\2.fuse.\3.activation._"),
        (_BLOCK + r"selective_kernel\.(\d)\.fcs\.(\d)\.", r"body.\1.blocks.\2.fuse.\3.select.\4."),
        (_BLOCK + r"conv_out\.", r"body.\1.blocks.\2.conv."),
        (r"^body\.(\d)\.body\.\d\.weight$", r"body.\1.conv.weight"),
    ],
    sizes=_sizes,
)


@register(
    input="srgb",
    scale=1,
    multiple=4,
    halo="global",  # channel attention pools over the whole picture
    memory=3000,
    paper="Zamir et al., Learning Enriched Features for Real Image Restoration and Enhancement, ECCV 2020",
    repository="https://github.com/swz30/MIRNet",
    licence="Academic Public License (non-commercial)",
    small={"width": 16, "n_rrg": 1, "n_msrb": 1},
    foreign=_FOREIGN,
    golden=Golden(
        "mirnet_small",
        tag="mirnet",
        data="pictures",
        metrics=("psnr", "ssim_y_matlab"),
        args={"n_rrg": 1, "n_msrb": 1},
        objective={"kind": "supervised", "losses": {"charbonnier_clipped": 1.0}},
    ),
)
def mirnet(width: int = 64, n_rrg: int = 3, n_msrb: int = 2, window: Optional[int] = None) -> MIRNet:
    """The published network, 31,787,419 parameters, with n_rrg groups of n_msrb multi-scale blocks.

    `window`: side in pixels of the window of its averages; by default the whole picture.
    """
    return MIRNet(width, n_rrg, n_msrb, window)
