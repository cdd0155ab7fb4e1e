"""Names of MIRNetV2's published checkpoints -> ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_STREAM = {"top": 0, "mid": 1, "bot": 2}
_SIZE = {"21": "top", "32": "middle", "top": "top", "mid": "middle"}
_BLOCK = r"^body\.(\d)\.body\.([01])\."


def _block(tail):
    """A name inside multi-scale block m[2] of group m[1]; `tail` gives the rest of it."""
    return lambda m: f"body.{m[1]}.blocks.{m[2]}.{tail(m)}."


def _stream(layer):
    return _block(lambda m: f"streams.{_STREAM[m[3]]}.{layer(m)}")


RULES = [
    (r"^conv_in\.", "first."),
    (r"^conv_out\.", "last."),
    (r"^body\.(\d)\.body\.2\.", r"body.\1.conv."),
    (_BLOCK + r"dau_(\w+)\.body\.([02])\.", _stream(lambda m: f"conv{int(m[4]) // 2 + 1}")),
    (_BLOCK + r"dau_(\w+)\.gcnet\.conv_mask\.", _stream(lambda m: "context.mask")),
    (
        _BLOCK + r"dau_(\w+)\.gcnet\.channel_add_conv\.([02])\.",
        _stream(lambda m: f"context.conv{int(m[4]) // 2 + 1}"),
    ),
    (_BLOCK + r"down2\.body\.0\.bot\.1\.", _block(lambda m: "down_middle.conv")),
    (_BLOCK + r"down4\.([01])\.body\.0\.bot\.1\.", _block(lambda m: f"down_bottom.{m[3]}.conv")),
    (
        _BLOCK + r"up(21|32)_([12])\.body\.0\.bot\.0\.",
        _block(lambda m: f"up_{_SIZE[m[3]]}.{int(m[4]) - 1}.conv"),
    ),
    (_BLOCK + r"skff_(\w+)\.conv_du\.0\.", _block(lambda m: f"fuse_{_SIZE[m[3]]}.squeeze")),
    (_BLOCK + r"skff_(\w+)\.fcs\.([01])\.", _block(lambda m: f"fuse_{_SIZE[m[3]]}.select.{m[4]}")),
    (_BLOCK + r"conv_out\.", _block(lambda m: "conv")),
]


def sizes(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What create_model must be told to build the network that converted weights are of."""
    count = sum(bool(re.match(r"body\.\d\.conv\.weight", name)) for name in state)
    kernels = [state[f"body.{group}.blocks.0.streams.0.conv1.weight"] for group in range(count)]
    return {
        "width": state["first.weight"].shape[0],
        "groups": tuple(kernel.shape[0] // max(kernel.shape[1], 1) for kernel in kernels),
    }
