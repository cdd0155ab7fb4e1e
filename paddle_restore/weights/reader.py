"""Read any checkpoint that people come with, by what it holds and not by its name."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any, Union

import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.weights import torch
from paddle_restore.weights.safetensors import is_safetensors, parse_safetensors
from paddle_restore.weights.tensorflow import read_tensorflow
from paddle_restore.weights.unpickle import bfloat16_to_float32, one_line, parse_pickle, read_bytes

_WRAPPERS = ("state_dict", "params", "model")
_PARALLEL = re.compile(r"^(module|_layers)\.")  # what data parallelism puts before every name


def state_dict_in(value: Any) -> dict[str, np.ndarray]:
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
    if not isinstance(value, dict):
        raise UserError(f"holds no state dict but a {type(value).__name__}")
    if not value or any(
        not (isinstance(name, str) and isinstance(array, np.ndarray)) for name, array in value.items()
    ):
        held = ", ".join(str(key)[:40] for key in list(value)[:5]) or "nothing"
        raise UserError(f"holds no state dict, bare or under {', '.join(_WRAPPERS)}, but {held}")
    if all(_PARALLEL.match(name) for name in value):
        return {_PARALLEL.sub("", name): array for name, array in value.items()}
    return dict(value)


def _paddle_state(data: bytes) -> dict[str, np.ndarray]:
    # Paddle has no 16-bit unsigned parameters; this is how it stores bfloat16.
    return {
        name: bfloat16_to_float32(array) if array.dtype == np.uint16 else array
        for name, array in state_dict_in(parse_pickle(data)).items()
    }


def load_pdparams(path: Union[str, PathLike]) -> dict[str, np.ndarray]:
    """Read a `.pdparams` file: names -> arrays, bfloat16 as float32. Runs nothing in it.

    Takes a bare state dict and a wrapped one (see `state_dict_in`). Raises UserError, one
    line, for files that are missing, damaged, hostile or hold no state dict.
    """
    data = read_bytes(path)
    with one_line(path):
        return _paddle_state(data)


def _prefix(path: str) -> str:
    """PREFIX of a TensorFlow checkpoint, given it or one of its files; "" if there is none."""
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
    return prefix if Path(f"{prefix}.index").is_file() else ""


def read_weights(path: Union[str, PathLike]) -> dict[str, np.ndarray]:
    """Read a checkpoint: the names and arrays that its framework has, bfloat16 as float32.

    Recognises PyTorch's zip and its older format, PREFIX (or one of the files) of a TensorFlow
    V2 checkpoint, Paddle's `.pdparams` and safetensors. State dicts may be bare or wrapped, see
    `state_dict_in`. Nothing in the file runs. Raises UserError, one line, for everything that
    is missing, damaged, hostile or none of these.
    """
    prefix = _prefix(str(path))
    if prefix:
        return read_tensorflow(prefix)
    if Path(path).is_dir():
        raise UserError(
            f"{path} is a folder; name the file in it (TensorFlow: the prefix, such as model.ckpt)"
        )
    data = read_bytes(path)
    with one_line(path):
        if data.startswith(b"PK"):
            return state_dict_in(torch.read_zip(data))
        if torch.is_old(data):
            return state_dict_in(torch.read_old(data))
        if is_safetensors(data):
            return state_dict_in(parse_safetensors(data))
        return _paddle_state(data)
