"""Names and layouts of SID's published checkpoints -> ours.

The PyTorch ports (conv1_1, upv6, conv10_1), SID-Paddle (conv1.conv.0, up6, conv10) and the
authors' TensorFlow checkpoints (g_conv1_1/weights, Variable, g_conv10/weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def _flip_axes(kernel: np.ndarray) -> np.ndarray:
    """TensorFlow's HWIO -> OIHW for convolutions, and HWOI -> IOHW for transposed ones."""
    return kernel.transpose(3, 2, 0, 1)


def _depth_to_space(array: np.ndarray) -> np.ndarray:
    """Output channels of (block, colour), TensorFlow's order, -> (colour, block), PixelShuffle's."""
    blocks = array.reshape(-1, 3, *array.shape[1:])
    return blocks.swapaxes(0, 1).reshape(array.shape)


def _up(kernel: np.ndarray) -> dict[str, np.ndarray]:
    # The authors' transposed convolutions have no bias, ours have.
    return {"weight": _flip_axes(kernel), "bias": np.zeros(kernel.shape[2], kernel.dtype)}


def _conv(m: Any) -> str:
    """encoder.0 … encoder.4 are the authors' 1 … 5, decoder.0 … decoder.3 their 6 … 9."""
    block = int(m["block"])
    place = f"encoder.{block - 1}" if block <= 5 else f"decoder.{block - 6}"
    return f"{place}.conv{m['conv']}."


RULES = [
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
]


def sizes(state: Mapping[str, np.ndarray]) -> dict[str, int]:
    """What create_model must be told to build the network that converted weights are of."""
    return {"width": state["head.weight"].shape[1]}
