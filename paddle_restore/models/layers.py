"""Layers that more than one network uses."""

from __future__ import annotations


def pixel_unshuffle(x, factor: int):
    """(N, C, H, W) -> (N, C * factor^2, H / factor, W / factor), channels ordered (C, row, column).

    As `nn.PixelUnshuffle`, which does not export with dynamic H and W (PaddlePaddle 3.3).
    """
    n, c, h, w = x.shape
    x = x.reshape([n, c, h // factor, factor, w // factor, factor]).transpose([0, 1, 3, 5, 2, 4])
    return x.reshape([n, c * factor**2, h // factor, w // factor])
