"""What inference asks of an opened network, whatever library runs it."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Network(Protocol):
    """A function of NumPy arrays: (N, C, H, W) float32 [, noise] -> (N, 3, scale*H, scale*W) float32.

    H and W are multiples of `spec.multiple`. A network with a latent takes its noise as the second array.
    """

    def __call__(self, *inputs: np.ndarray) -> np.ndarray: ...


class OpenedNetwork(Network, Protocol):
    """A network that a backend runs: `name` is what reports print, `threads` are those of a CPU."""

    name: str
    threads: int
