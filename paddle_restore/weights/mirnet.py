"""Names of MIRNet's published checkpoints -> ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

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


def _resize(m):
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


RULES = [
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
]


def sizes(state: Mapping[str, np.ndarray]) -> dict[str, int]:
    """What create_model must be told to build the network that converted weights are of."""
    blocks = [re.match(r"body\.(\d)\.blocks\.(\d)\.conv\.weight", name) for name in state]
    return {
        "width": state["first.weight"].shape[0],
        "n_rrg": 1 + max(int(m[1]) for m in blocks if m),
        "n_msrb": 1 + max(int(m[2]) for m in blocks if m),
    }
