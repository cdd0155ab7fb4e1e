"""Rebuild the weights and inputs behind the golden files, without storing them.

Every tensor is drawn from NumPy's PCG64 seeded by (seed, crc32(name)), so any
framework can rebuild the very same reference state dict from models.json.
"""

import zlib

import numpy as np


def _normal(name, shape, seed):
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)


def procedural_weight(name, shape, seed=0, gain=1.0):
    """Reference parameter `name`, PyTorch layout (OIHW; IOHW for transposed conv).

    1-D tensors and `*.weight_g` are biases/scales, the rest are kernels with
    fan-in prod(shape[1:]).
    """
    shape = tuple(shape)
    z = _normal(name, shape if shape else (1,), seed)
    is_scale = name.endswith("weight_g")
    if len(shape) <= 1 or is_scale:
        w = (1.0 if is_scale else 0.0) + 0.05 * z
    else:
        w = gain * z * np.sqrt(1.0 / np.prod(shape[1:]))
    return w.astype(np.float32).reshape(shape)


def procedural_tf_weight(name, shape, seed=0):
    """Reference TensorFlow variable `name` (HWIO; HWOI for conv2d_transpose)."""
    shape = tuple(shape)
    z = _normal(name, shape, seed)
    w = z * np.sqrt(1.0 / np.prod(shape[:-1])) if len(shape) > 1 else 0.05 * z
    return w.astype(np.float32)


def procedural_input(tag, shape, seed=0):
    """Uniform [0, 1) float32 array named by `tag`."""
    rng = np.random.default_rng([seed, zlib.crc32(tag.encode())])
    return rng.random(shape).astype(np.float32)
