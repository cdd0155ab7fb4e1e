"""Read any kind of checkpoint. Its content decides which kind it is, not its name."""

from __future__ import annotations

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any, Union

import numpy as np
from safetensors import SafetensorError, deserialize

from paddle_restore.errors import UserError
from paddle_restore.weights import torch
from paddle_restore.weights.tensorflow import read_tensorflow
from paddle_restore.weights.unpickle import (
    bfloat16_to_float32,
    check_total,
    one_line,
    parse_pickle,
    read_bytes,
)

State = dict[str, np.ndarray]
"""Names and arrays of a checkpoint."""

_WRAPPERS = ("state_dict", "params", "model")
_PARALLEL = re.compile(r"^(module|_layers)\.")  # what data parallelism puts before every name
_SAFETENSORS_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"},
}


def state_dict_in(value: Any) -> State:
    """Return the state dict in a checkpoint: bare, or wrapped as {"state_dict": ..., "epoch": ...}.

    The keys "params" and "model" are known too. Prefixes of data parallelism are removed. Raises UserError
    where there is none.
    """
    for _ in range(3):  # {"model": {"state_dict": ...}} exists
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
        content = ", ".join(str(key)[:40] for key in list(value)[:5]) or "nothing"
        raise UserError(f"holds no state dict, bare or under {', '.join(_WRAPPERS)}, but {content}")
    if all(_PARALLEL.match(name) for name in value):
        return {_PARALLEL.sub("", name): array for name, array in value.items()}
    return dict(value)


def load_pdparams(path: Union[str, PathLike]) -> State:
    """Read a `.pdparams` file without running anything in it: names -> arrays, bfloat16 as float32.

    Takes a bare state dict and a wrapped one (see `state_dict_in`). Raises UserError, one line, for files
    that are missing, damaged, hostile or hold no state dict.
    """
    data = read_bytes(path)
    with one_line(path):
        return _as_float32(_checked(parse_pickle(data), data))


def read_weights(path: Union[str, PathLike]) -> State:
    """Read a checkpoint without running anything in it: names -> arrays, bfloat16 as float32.

    Takes PyTorch's zip format and its older one, PREFIX (or one of the files) of a TensorFlow V2 checkpoint,
    Paddle's `.pdparams` and safetensors. State dicts may be bare or wrapped, see `state_dict_in`. Raises
    UserError, one line, for files that are missing, damaged, hostile or of another kind.
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
            return _checked(torch.read_zip(data), data)
        if torch.is_old(data):
            return _checked(torch.read_old(data), data)
        if _is_safetensors(data):
            return _checked(_parse_safetensors(data), data)
        return _as_float32(_checked(parse_pickle(data), data))


def _prefix(path: str) -> str:
    """Return PREFIX of a TensorFlow checkpoint, given it or one of its files; "" if there is none."""
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path)
    return prefix if Path(f"{prefix}.index").is_file() else ""


def _checked(value: Any, data: bytes) -> State:
    state = state_dict_in(value)
    check_total(state, len(data))
    return state


def _as_float32(state: State) -> State:
    # Paddle has no unsigned 16-bit parameters; it stores bfloat16 in this type.
    halves = [name for name, array in state.items() if array.dtype == np.uint16]
    return {**state, **{name: bfloat16_to_float32(state[name]) for name in halves}}


def _is_safetensors(data: bytes) -> bool:
    """Whether `data` begins with the length of a JSON header, and the header."""
    return len(data) > 8 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def _parse_safetensors(data: bytes) -> State:
    # Not safetensors.numpy.load, which does not know bfloat16.
    _check_offsets(data)
    try:
        tensors = deserialize(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    return {name: _safetensors_array(name, **tensor) for name, tensor in tensors}


def _check_offsets(data: bytes) -> None:
    """Raise UserError if tensors of a safetensors file share bytes: `deserialize` copies each."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors = (entry for name, entry in header.items() if name != "__metadata__")
    spans = [entry["data_offsets"] for entry in tensors]
    if sum(end - start for start, end in spans) > len(data):
        raise UserError("refused: its tensors overlap")


def _safetensors_array(name: str, data: bytearray, shape: list[int], dtype: str) -> np.ndarray:
    if dtype not in _SAFETENSORS_TYPES:
        raise UserError(f"tensor {name!r} has type {dtype!r}, which no weights have")
    array = np.frombuffer(data, _SAFETENSORS_TYPES[dtype]).reshape(shape)
    return bfloat16_to_float32(array) if dtype == "BF16" else array
