"""The same layers in PyTorch, for timing against PaddlePaddle. The package does not depend on this file.

Started by `tools/benchmark.py --compare` as

    python benchmarks/torch_networks.py ID FOLDER PRECISION LAYOUT THREADS

where FOLDER holds `weights.npz` (arrays by the names of the PaddlePaddle network, which the modules
below share) and `input.npz`. It writes its output to FOLDER/pytorch-PRECISION-LAYOUT.npz. Then it runs once
for every line on its standard input and answers with milliseconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.benchmark.side_by_side import load_arrays, serve_turns


def conv(before: int, after: int, size: int, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=bias)


def leaky(x):
    return F.leaky_relu(x, 0.2)


class DoubleConv(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv1, self.conv2 = conv(before, after, 3), conv(after, after, 3)

    def forward(self, x):
        return leaky(self.conv2(leaky(self.conv1(x))))


class Up(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv = nn.ConvTranspose2d(before, after, 2, stride=2)

    def forward(self, x, skip):
        return torch.cat([self.conv(x), skip], 1)


class SIDUNet(nn.Module):
    def __init__(self, channels, scale, width=32):
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        rising = widths[-2::-1]
        self.encoder = nn.ModuleList(DoubleConv(a, b) for a, b in zip([channels, *widths], widths))
        self.up = nn.ModuleList(Up(2 * w, w) for w in rising)
        self.decoder = nn.ModuleList(DoubleConv(2 * w, w) for w in rising)
        self.head = nn.Conv2d(width, 3 * scale**2, 1)
        self.scale = scale

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for up, block, skip in zip(self.up, self.decoder, skips[-2::-1]):
            x = block(up(x, skip))
        return F.pixel_shuffle(self.head(x), self.scale)


class DenseBlock(nn.Module):
    def __init__(self, channels, growth, depth):
        super().__init__()
        self.layers = nn.ModuleList(conv(channels + i * growth, growth, 3, bias=False) for i in range(depth))
        self.fuse = conv(channels + depth * growth, channels, 1, bias=False)

    def forward(self, x):
        y = x
        for i, layer in enumerate(self.layers):
            y = torch.cat([y, layer(leaky(y) if 0 < i < len(self.layers) - 1 else y)], 1)
        return self.fuse(y) + x


class ResidualBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = conv(channels, channels, 3), conv(channels, channels, 3)

    def forward(self, x):
        return self.conv2(leaky(self.conv1(x))) + x


class Lamba(nn.Module):
    def __init__(self):
        super().__init__()
        self.coarse_in, self.coarse_squeeze = conv(1024, 128, 3, groups=128), conv(128, 64, 3)
        self.dense = nn.ModuleList(DenseBlock(64, 32, depth) for depth in (4, 5, 5))
        self.dense_fuse = conv(192, 64, 1, bias=False)
        self.coarse_out, self.middle = conv(4, 64, 3), ResidualBlock(64)
        self.join, self.expand = conv(128, 32, 3, groups=4), conv(32, 192, 3)
        self.fine, self.head = conv(4, 12, 5), conv(24, 12, 5)

    def forward(self, x):
        half = F.pixel_unshuffle(x, 2)
        coarse = self.coarse_squeeze(self.coarse_in(F.pixel_unshuffle(half, 16)))
        dense = [coarse]
        for block in self.dense:
            dense.append(block(dense[-1]))
        coarse = self.dense_fuse(torch.cat(dense[1:], 1)) + coarse
        coarse = self.coarse_out(F.pixel_shuffle(coarse, 4))
        middle = self.middle(F.pixel_unshuffle(half, 4))
        joined = torch.stack([middle, coarse], 2).flatten(1, 2)
        joined = F.pixel_shuffle(leaky(self.expand(self.join(joined))), 4)
        return F.pixel_shuffle(self.head(torch.cat([self.fine(half), joined], 1)), 2).clip(0, 1)


class ContextBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.mask = conv(channels, 1, 1, bias=False)
        self.conv1 = conv(channels, channels, 1, bias=False)
        self.conv2 = conv(channels, channels, 1, bias=False)

    def forward(self, x):
        mask = self.mask(x).flatten(2).softmax(-1)
        context = torch.matmul(x.flatten(2), mask.transpose(1, 2)).unsqueeze(-1)
        return x + self.conv2(leaky(self.conv1(context)))


class ResidualContextBlock(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.conv1 = conv(channels, channels, 3, groups, bias=False)
        self.conv2 = conv(channels, channels, 3, groups, bias=False)
        self.context = ContextBlock(channels)

    def forward(self, x):
        return leaky(self.context(self.conv2(leaky(self.conv1(x))))) + x


class Resize(nn.Module):
    def __init__(self, before, after, up):
        super().__init__()
        self.conv, self.up = conv(before, after, 1, bias=False), up

    def forward(self, x):
        if self.up:
            return F.interpolate(self.conv(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.conv(F.avg_pool2d(x, 2))


class Fusion(nn.Module):
    def __init__(self, channels):
        super().__init__()
        squeezed = max(channels // 8, 4)
        self.squeeze = conv(channels, squeezed, 1, bias=False)
        self.select = nn.ModuleList(conv(squeezed, channels, 1, bias=False) for _ in range(2))

    def forward(self, a, b):
        pooled = leaky(self.squeeze(F.adaptive_avg_pool2d(a + b, 1)))
        first, second = torch.stack([select(pooled) for select in self.select]).softmax(0)
        return a * first + b * second


class MultiScaleBlock(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        top, middle, bottom = channels, channels * 3 // 2, channels * 9 // 4
        self.down_middle = Resize(top, middle, False)
        self.down_bottom = nn.Sequential(Resize(top, middle, False), Resize(middle, bottom, False))
        self.streams = nn.ModuleList(ResidualContextBlock(c, groups) for c in (top, middle, bottom))
        self.up_middle = nn.ModuleList(Resize(bottom, middle, True) for _ in range(2))
        self.up_top = nn.ModuleList(Resize(middle, top, True) for _ in range(2))
        self.fuse_middle, self.fuse_top = Fusion(middle), Fusion(top)
        self.conv = conv(channels, channels, 1, bias=False)

    def forward(self, x):
        top, middle, bottom = x, self.down_middle(x), self.down_bottom(x)
        for up_middle, up_top in zip(self.up_middle, self.up_top):
            top, middle, bottom = (stream(y) for stream, y in zip(self.streams, (top, middle, bottom)))
            middle = self.fuse_middle(middle, up_middle(bottom))
            top = self.fuse_top(top, up_top(middle))
        return self.conv(top) + x


class ResidualGroup(nn.Module):
    def __init__(self, channels, groups):
        super().__init__()
        self.blocks = nn.Sequential(MultiScaleBlock(channels, groups), MultiScaleBlock(channels, groups))
        self.conv = conv(channels, channels, 3, bias=False)

    def forward(self, x):
        return self.conv(self.blocks(x)) + x


class MIRNetV2(nn.Module):
    def __init__(self, width, groups):
        super().__init__()
        self.first, self.last = conv(3, width, 3, bias=False), conv(width, 3, 3, bias=False)
        self.body = nn.Sequential(*(ResidualGroup(width, g) for g in groups))

    def forward(self, x):
        return self.last(self.body(self.first(x))) + x


class Subnet(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv1, self.conv2 = conv(before, 64, 3), conv(64, 64, 3)
        self.conv3 = conv(before + 64, after, 3)

    def forward(self, x):
        return self.conv3(torch.cat([x, leaky(self.conv2(leaky(self.conv1(x))))], 1))


class Coupling(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.parts = [3, channels - 3]
        self.f, self.g, self.h = (Subnet(*p) for p in (self.parts[::-1], self.parts, self.parts))

    def scale(self, y1):
        return (2 * torch.sigmoid(self.h(y1)) - 1).exp()

    def forward(self, x):
        x1, x2 = x.split(self.parts, 1)
        y1 = x1 + self.f(x2)
        return torch.cat([y1, x2 * self.scale(y1) + self.g(y1)], 1)

    def inverse(self, y):
        y1, y2 = y.split(self.parts, 1)
        x2 = (y2 - self.g(y1)) / self.scale(y1)
        return torch.cat([y1 - self.f(x2), x2], 1)


class InvDN(nn.Module):
    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(nn.ModuleList(Coupling(c) for _ in range(8)) for c in (12, 48))
        signs = [[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]]
        self.register_buffer("haar", torch.tensor(signs, dtype=torch.float32)[:, None], persistent=False)

    def forward(self, x, noise):
        for level in self.levels:
            channels = x.shape[1]
            x = F.conv2d(x, self.haar.repeat(channels, 1, 1, 1), stride=2, groups=channels) / 4
            # Channel by channel to coefficient by coefficient.
            x = x.unflatten(1, (channels, 4)).transpose(1, 2).flatten(1, 2)
            for block in level:
                x = block(x)
        x = torch.cat([x[:, :3], noise], 1)
        for level in reversed(self.levels):
            for block in reversed(level):
                x = block.inverse(x)
            channels = x.shape[1] // 4
            x = x.unflatten(1, (4, channels)).transpose(1, 2).flatten(1, 2)
            x = F.conv_transpose2d(x, self.haar.repeat(channels, 1, 1, 1), stride=2, groups=channels)
        return x


class ReluBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = conv(channels, channels, 3), conv(channels, channels, 3)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class PoollessBlock(nn.Module):
    """Chen et al., Simple Baselines for Image Restoration, ECCV 2022, less its attention, which pools."""

    def __init__(self, channels):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.expand1, self.expand2 = conv(channels, 2 * channels, 1), conv(channels, 2 * channels, 1)
        self.depthwise = conv(2 * channels, 2 * channels, 3, groups=2 * channels)
        self.squeeze1, self.squeeze2 = conv(channels, channels, 1), conv(channels, channels, 1)

    def forward(self, x):
        a, b = self.depthwise(self.expand1(self._normalised(self.norm1, x))).chunk(2, 1)
        x = x + self.squeeze1(a * b)
        a, b = self.expand2(self._normalised(self.norm2, x)).chunk(2, 1)
        return x + self.squeeze2(a * b)

    @staticmethod
    def _normalised(norm, x):
        return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResidualUNet(nn.Module):
    def __init__(self, channels, widths, encoder, decoder, block):
        super().__init__()
        pairs = list(zip(widths, widths[1:]))
        self.first = conv(channels[0], widths[0], 3)
        self.encoder = self._levels(widths, encoder, block)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.decoder = self._levels(widths, decoder, block)
        self.last = conv(widths[0], channels[1], 3)
        nn.init.uniform_(self.last.weight, -1e-4, 1e-4)
        nn.init.uniform_(self.last.bias, -1e-4, 1e-4)

    @staticmethod
    def _levels(widths, counts, block):
        return nn.ModuleList(nn.Sequential(*(block(w) for _ in range(n))) for w, n in zip(widths, counts))

    def correction(self, x):
        y, skips = self.first(x), []
        for blocks, down in zip(self.encoder, self.down):
            skips.append(blocks(y))
            y = down(skips[-1])
        y = self.encoder[-1](y)
        for level in reversed(range(len(self.up))):
            y = self.decoder[level](self.up[level](y) + skips[level])
        return self.last(y)


class DenoiseUNet(ResidualUNet):
    def __init__(self, widths=(32, 64, 128, 128), encoder=(1, 1, 1, 2), decoder=(1, 2, 1), block=ReluBlock):
        super().__init__((12, 12), widths, encoder, decoder, block)

    def forward(self, x):
        return x + F.pixel_shuffle(self.correction(F.pixel_unshuffle(x, 2)), 2)


class RawUNet(ResidualUNet):
    def __init__(self, widths=(32, 48, 96, 128), encoder=(1, 1, 2, 2), decoder=(1, 2, 1), block=ReluBlock):
        super().__init__((8, 4), widths, encoder, decoder, block)

    def forward(self, x):
        mean = F.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
        return x + self.correction(torch.cat([x - mean, mean / 32], 1))


class ChannelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


def gate(x):
    first, second = x.chunk(2, 1)
    return first * second


class GatedBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        c = channels
        self.norm1, self.norm2 = ChannelNorm(c), ChannelNorm(c)
        self.conv1, self.conv2, self.conv3 = conv(c, 2 * c, 1), conv(2 * c, 2 * c, 3, 2 * c), conv(c, c, 1)
        self.conv4, self.conv5, self.attention = conv(c, 2 * c, 1), conv(c, c, 1), conv(c, c, 1)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, c, 1, 1)) for _ in range(2))

    def forward(self, x):
        y = gate(self.conv2(self.conv1(self.norm1(x))))
        y = y * self.attention(F.adaptive_avg_pool2d(y, 1))
        x = x + self.conv3(y) * self.beta
        return x + self.conv5(gate(self.conv4(self.norm2(x)))) * self.gamma


class ShuffleUp(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = conv(channels, 2 * channels, 1, bias=False)

    def forward(self, x):
        return F.pixel_shuffle(self.conv(x), 2)


class NAFNet(nn.Module):
    def __init__(self, width=32, encoder=(2, 2, 4, 8), middle=12, decoder=(2, 2, 2, 2)):
        super().__init__()

        def blocks(count, level):
            return nn.Sequential(*(GatedBlock(width * 2**level) for _ in range(count)))

        widths = [width * 2**level for level in range(4)]
        self.first, self.last = conv(3, width, 3), conv(width, 3, 3)
        self.encoder = nn.ModuleList(blocks(count, level) for level, count in enumerate(encoder))
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths)
        self.middle = blocks(middle, 4)
        self.up = nn.ModuleList(ShuffleUp(2 * w) for w in reversed(widths))
        self.decoder = nn.ModuleList(blocks(count, 3 - level) for level, count in enumerate(decoder))

    def forward(self, x):
        y, skips = self.first(x), []
        for blocks, down in zip(self.encoder, self.down):
            y = blocks(y)
            skips.append(y)
            y = down(y)
        y = self.middle(y)
        for up, blocks, skip in zip(self.up, self.decoder, reversed(skips)):
            y = blocks(up(y) + skip)
        return self.last(y) + x


NETWORKS = {
    "denoise_unet": DenoiseUNet,
    "denoise_raw": RawUNet,
    "naf_unet": lambda: DenoiseUNet(encoder=(1, 2, 3, 4), decoder=(2, 3, 2), block=PoollessBlock),
    "sid_unet": lambda: SIDUNet(4, 2),
    "sid_unet_xtrans": lambda: SIDUNet(9, 3),
    "lamba": Lamba,
    "mirnet_v2": lambda: MIRNetV2(80, (1, 2, 4, 4)),
    "mirnet_v2_small": lambda: MIRNetV2(64, (1, 2, 4)),
    "invdn": InvDN,
    "nafnet": NAFNet,
}


def load(id: str, file: Path) -> nn.Module:
    """The network with the weights of `file`; weight normalisation is multiplied out."""
    state = {name: torch.from_numpy(array) for name, array in load_arrays(file).items()}
    for name in [name for name in state if name.endswith("weight_v")]:
        v, g = state.pop(name), state.pop(f"{name[:-1]}g")
        state[name[:-2]] = v * (g / v.square().sum((1, 2, 3), keepdim=True).sqrt())
    network = NETWORKS[id]()
    network.load_state_dict(state)
    return network.eval()


def main() -> None:
    id, folder, precision, layout, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_grad_enabled(False)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    layout = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    network = load(id, Path(folder) / "weights.npz").to(kind, memory_format=layout)
    arrays = load_arrays(Path(folder) / "input.npz").values()

    def run():
        # Users have float32 in the plain layout and expect it back, so the conversions are timed too.
        inputs = [torch.from_numpy(array).to(kind).contiguous(memory_format=layout) for array in arrays]
        return network(*inputs).float().contiguous().numpy()

    serve_turns(run, Path(folder) / f"pytorch-{precision}-{sys.argv[4]}.npz")


if __name__ == "__main__":
    main()
