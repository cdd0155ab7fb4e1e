"""The safetensors format: 8 bytes with the length of a JSON header, the header, raw numbers.

Source: github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.weights.unpickle import bfloat16_to_float32

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items() if name != "BF16"}


def is_safetensors(data: bytes) -> bool:
    return len(data) > 8 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def parse_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Names -> arrays, bfloat16 as float32. Raises UserError or one of DAMAGE."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {name: _array(name, entry, data, start) for name, entry in header.items()}


def _array(name: str, entry: Mapping, data: bytes, start: int) -> np.ndarray:
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if entry["dtype"] not in _TYPES:
        raise UserError(f"tensor {name!r} has type {str(entry['dtype'])[:20]!r}, which no weights have")
    dtype = np.dtype(_TYPES[entry["dtype"]])
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError(f"the header of tensor {name!r}")
    if math.prod(shape) * dtype.itemsize != end - begin or end > len(data) - start:
        raise UserError(
            f"tensor {name!r} claims shape {shape} and bytes {begin} to {end} of {len(data) - start}"
        )
    array = np.frombuffer(data, dtype, math.prod(shape), start + begin).reshape(shape)
    return bfloat16_to_float32(array) if entry["dtype"] == "BF16" else array


def save_safetensors(path: Path, state: Mapping[str, np.ndarray]) -> None:
    """Write arrays of the types that the format has, in the order given."""
    header, position, blobs = {}, 0, []
    for name, array in state.items():
        blobs.append(np.ascontiguousarray(array).tobytes())
        end = position + len(blobs[-1])
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
    with open(path, "wb") as file:
        file.writelines([len(text).to_bytes(8, "little"), text, *blobs])
