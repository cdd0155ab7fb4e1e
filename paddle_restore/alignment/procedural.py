"""Draw weights and inputs from their names, so that golden values need not store them.

Every tensor comes from NumPy's PCG64, seeded by (seed, crc32(name)): any framework can rebuild the same
reference state dict from models.json.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def procedural_weight(name: str, shape: Sequence[int], seed: int = 0, gain: float = 1.0) -> np.ndarray:
    """Return reference parameter `name` in PyTorch's layout (OIHW; IOHW for transposed convolutions).

    Tensors of one dimension and `*.weight_g` are biases and scales; all others are kernels with a fan-in of
    prod(shape[1:]).
    """
    shape = tuple(shape)
    values = _generator(name, seed).standard_normal(shape or (1,))
    if name.endswith("weight_g"):
        values = 1.0 + 0.05 * values
    elif len(shape) <= 1:
        values = 0.05 * values
    else:
        values = gain * values * np.sqrt(1.0 / np.prod(shape[1:]))
    return values.astype(np.float32).reshape(shape)


def procedural_tf_weight(name: str, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Return reference TensorFlow variable `name` (HWIO; HWOI for conv2d_transpose)."""
    shape = tuple(shape)
    values = _generator(name, seed).standard_normal(shape)
    scale = np.sqrt(1.0 / np.prod(shape[:-1])) if len(shape) > 1 else 0.05
    return (values * scale).astype(np.float32)


def procedural_input(tag: str, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Return a float32 array, uniform in [0, 1), named by `tag`."""
    return _generator(tag, seed).random(tuple(shape)).astype(np.float32)
