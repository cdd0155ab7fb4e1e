"""Reference parameters -> ours, by one small table of rules a network.

A rule is (pattern, replacement) for `re.sub` on the reference's parameter name; the first
pattern that matches wins, and a replacement of None drops the parameter (a constant). Arrays
keep PyTorch's layout, which is Paddle's for convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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


def convert_state_dict(reference: Mapping[str, np.ndarray], model: str) -> dict[str, np.ndarray]:
    """Rename the reference's parameters (PyTorch names and layouts) to those of network `model`.

    Raises UserError for an unknown network and for names that no rule covers.
    """
    if model not in TABLES:
        raise UserError(f"no conversion rules for model {model!r}{did_you_mean(model, TABLES)}")
    converted = {}
    for name, array in reference.items():
        for pattern, replacement in TABLES[model]:
            if re.search(pattern, name):
                if replacement is not None:
                    converted[re.sub(pattern, replacement, name)] = np.asarray(array)
                break
        else:
            raise UserError(f"parameter {name!r} is not one that published {model} checkpoints have")
    return converted
