"""Read any checkpoint that people come with, by what it holds and not by its name."""

from __future__ import annotations

import re
from os import PathLike
from typing import Any, Union

import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.weights.unpickle import parse_pickle, read_bytes

_WRAPPERS = ("state_dict", "params", "model")
_PARALLEL = re.compile(r"^(module|_layers)\.")  # what data parallelism puts before every name


def state_dict_in(value: Any, where: Union[str, PathLike]) -> dict[str, np.ndarray]:
    """Find the state dict in a checkpoint: bare, or wrapped as {"state_dict": …, "epoch": …}.

    The keys "params" and "model" are known too. Prefixes of data parallelism are taken off.
    Raises UserError where there is none.
    """
    for _ in range(3):  # {"model": {"state_dict": …}} has been seen
        if not isinstance(value, dict):
            break
        inner = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), dict)), None)
        if inner is None:
            break
        value = inner
    arrays = isinstance(value, dict) and all(isinstance(array, np.ndarray) for array in value.values())
    if not (arrays and value and all(isinstance(name, str) for name in value)):
        held = (
            f"keys {', '.join(map(str, list(value)[:5]))}"
            if isinstance(value, dict)
            else type(value).__name__
        )
        raise UserError(
            f"{where} holds no state dict, bare or under {', '.join(_WRAPPERS)}: {held or 'nothing'}"
        )
    if all(_PARALLEL.match(name) for name in value):
        return {_PARALLEL.sub("", name): array for name, array in value.items()}
    return dict(value)


def bfloat16_to_float32(array: np.ndarray) -> np.ndarray:
    """The upper half of a float32 is a bfloat16, which NumPy has not and shows as uint16."""
    return (array.astype(np.uint32) << 16).view(np.float32)


def _paddle_state(data: bytes, where: Union[str, PathLike]) -> dict[str, np.ndarray]:
    state = state_dict_in(parse_pickle(data, where), where)
    # Paddle has no 16-bit unsigned parameters; this is how it stores bfloat16.
    return {
        name: bfloat16_to_float32(array) if array.dtype == np.uint16 else array
        for name, array in state.items()
    }


def load_pdparams(path: Union[str, PathLike]) -> dict[str, np.ndarray]:
    """Read a `.pdparams` file: names -> arrays, bfloat16 as float32. Runs nothing in it.

    Takes a bare state dict and a wrapped one (see `state_dict_in`). Raises UserError, one
    line, for files that are missing, damaged, hostile or hold no state dict.
    """
    return _paddle_state(read_bytes(path), path)
