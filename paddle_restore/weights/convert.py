"""Reference parameters -> ours, by one small table of rules a network.

A rule is (pattern, replacement) for `re.sub` on the reference's parameter name, and the first
pattern that matches wins. A replacement of None leaves the parameter out (constants, counters).
Arrays keep PyTorch's layout, which is Paddle's for convolutions; a third member of a rule
changes it: a function of the array, which may return several arrays by the ends of their
names. `SIZES` has, for networks that come in other sizes than the published, a function of
the converted weights that returns the arguments for `create_model`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.weights import invdn, lamba, mirnet, mirnet_v2, sid

TABLES = {
    "invdn": invdn.RULES,
    "lamba": lamba.RULES,
    "mirnet": mirnet.RULES,
    "mirnet_v2": mirnet_v2.RULES,
    "mirnet_v2_small": mirnet_v2.RULES,
    "sid_unet": sid.RULES,
    "sid_unet_xtrans": sid.RULES,
}
SIZES = {
    "mirnet": mirnet.sizes,
    "mirnet_v2": mirnet_v2.sizes,
    "sid_unet": sid.sizes,
    "sid_unet_xtrans": sid.sizes,
}


def _apply(rules: Any, name: str, array: np.ndarray) -> dict[str, np.ndarray] | None:
    """Our names and arrays for one parameter; None where no rule covers it."""
    for pattern, replacement, *layout in rules:
        if not re.search(pattern, name):
            continue
        if replacement is None:
            return {}
        ours = re.sub(pattern, replacement, name)
        made = layout[0](array) if layout else array
        return {ours + end: part for end, part in made.items()} if isinstance(made, dict) else {ours: made}
    return None


def convert_state_dict(reference: Mapping[str, np.ndarray], model: str) -> dict[str, np.ndarray]:
    """Map the reference's parameters (its framework's names and layouts) to those of network `model`.

    Raises UserError for an unknown network, names that no rule covers, and shapes that the
    published layout cannot have.
    """
    if model not in TABLES:
        raise UserError(f"no conversion rules for model {model!r}{did_you_mean(model, TABLES)}")
    converted: dict[str, np.ndarray] = {}
    for name, array in reference.items():
        array = np.asarray(array)
        try:
            ours = _apply(TABLES[model], name, array)
        except ValueError:
            raise UserError(f"parameter {name!r} cannot have shape {array.shape} in {model}") from None
        if ours is None:
            raise UserError(f"parameter {name!r} is not one that published {model} checkpoints have")
        converted.update((key, np.asarray(part, order="C")) for key, part in ours.items())
    return converted
