"""Load weights into a network, or say in one line which keys differ."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from os import PathLike
from typing import Union

import numpy as np
import paddle
from paddle import nn

from paddle_restore.errors import UserError
from paddle_restore.shipped import SHIPPED, shipped_weights
from paddle_restore.weights.convert import convert_state_dict
from paddle_restore.weights.reader import read_weights


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def compare(model: nn.Layer, state: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """Return how `state` differs from the network's own: {kind of difference: keys}, without empty kinds."""
    own = model.state_dict()
    differences = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in state and tuple(state[name].shape) != tuple(own[name].shape)
        ],
    }
    return {kind: names for kind, names in differences.items() if names}


def tensors_of(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """Return the network's own parameters and buffers by the names of its state_dict.

    Under mixed precision O2 the state_dict itself holds float32 copies; writing to them has no effect.
    """
    wanted = model.state_dict()
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: named.get(name, tensor) for name, tensor in wanted.items()}


def load_into(
    model: nn.Layer,
    state: Mapping[str, np.ndarray],
    partial: bool = False,
    source: Union[str, PathLike] = "weights",
) -> list[str]:
    """Set the network's weights from `state`, cast to the types of its parameters.

    Raises UserError, which counts and names the differing keys, where they do not fit exactly. With
    `partial`, loads what fits and returns the rest, one "kind: key" each; it is an error only if nothing
    fits. `source` names the weights in errors.
    """
    differences = compare(model, state)
    own = tensors_of(model)
    fitting = [name for name in own if name in state and tuple(state[name].shape) == tuple(own[name].shape)]
    if differences and not (partial and fitting):
        network = getattr(getattr(model, "spec", None), "id", type(model).__name__)
        counts = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in differences.items())
        hint = "" if fitting else " (a published checkpoint? convert it with tools/convert_weights.py)"
        raise UserError(f"{source} holds no weights of this {network}: {counts}{hint}")
    for name in fitting:
        own[name].set_value(paddle.to_tensor(state[name]).astype(own[name].dtype))
    return [f"{kind}: {name}" for kind, names in differences.items() for name in names]


def load_weights(model: nn.Layer, path: Union[str, PathLike], partial: bool = False) -> list[str]:
    """Load a file that `read_weights` reads, with our names or those of a published checkpoint.

    `path` "shipped" stands for the weights of this network that come with the package. Returns what
    `partial` skipped. Raises UserError as `read_weights` and `load_into` do.
    """
    if str(path) == SHIPPED:
        path = shipped_weights(model.spec.id)
    state = read_weights(path)
    if set(state) - set(model.state_dict()):
        # If these are not the network's published names either, load_into says what differs.
        with suppress(UserError):
            state = convert_state_dict(state, model.spec.id)
    return load_into(model, state, partial, source=path)
