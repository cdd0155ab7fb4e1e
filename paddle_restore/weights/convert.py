"""Rename the parameters of published checkpoints to ours, by the network's table (models.ForeignNames)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Optional

import numpy as np

from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.models import MODELS, ForeignNames, foreign_names, list_models


def convertible_models() -> list[str]:
    """Return the ids of the networks whose published checkpoints can be read."""
    return [id for id in list_models() if foreign_names(id)]


def convert_state_dict(reference: Mapping[str, np.ndarray], model: str) -> dict[str, np.ndarray]:
    """Return the reference's parameters under the names and in the layouts of network `model`.

    Raises UserError for an unknown network, names that no rule covers, and shapes that the published layout
    cannot have.
    """
    names = foreign_names(model) if model in MODELS else None
    if names is None:
        raise UserError(f"no conversion rules for model {model!r}{did_you_mean(model, convertible_models())}")
    converted: dict[str, np.ndarray] = {}
    for name, array in reference.items():
        array = np.asarray(array)
        try:
            ours = _apply(names, name, array)
        except ValueError:
            raise UserError(f"parameter {name!r} cannot have shape {array.shape} in {model}") from None
        if ours is None:
            raise UserError(f"parameter {name!r} is not one that published {model} checkpoints have")
        converted.update((key, np.asarray(part, order="C")) for key, part in ours.items())
    return converted


def _apply(names: ForeignNames, name: str, array: np.ndarray) -> Optional[dict[str, np.ndarray]]:
    """Return our names and arrays for one parameter; None where no rule covers it."""
    for pattern, replacement, *layout in names.rules:
        if not re.search(pattern, name):
            continue
        if replacement is None:
            return {}
        ours = re.sub(pattern, replacement, name)
        made = layout[0](array) if layout else array
        return {ours + end: part for end, part in made.items()} if isinstance(made, dict) else {ours: made}
    return None
