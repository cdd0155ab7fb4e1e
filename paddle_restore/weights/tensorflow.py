"""Read TensorFlow V2 checkpoints (PREFIX.index and PREFIX.data-...) without TensorFlow.

The index is a table in LevelDB's format: blocks of (name, BundleEntryProto), a block of pointers to them,
and a footer with a pointer to that block. The data files hold raw numbers. Source:
tensorflow/core/util/tensor_bundle, tensorflow/core/protobuf/tensor_bundle.proto, LevelDB's
doc/table_format.md.
"""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.weights.unpickle import MAX_NAME, check_total, one_line, read_bytes

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_MAX_ENTRIES = 100_000
_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2"}
# What training stores beside the weights: optimiser slots, their powers, counters.
_TRAINING = re.compile(
    r"/(Adam|Adam_1|Momentum|RMSProp|RMSProp_1|Adagrad|\.OPTIMIZER_SLOT.*)$|^beta[12]_power(_\d+)?$"
    r"|^(global_step|loss_scale|good_steps|_CHECKPOINTABLE_OBJECT_GRAPH|save_counter)\b"
)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the variable-length integer at position `at`, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")


def _message(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the (field number, value) pairs of a protocol buffer; nested messages as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: Union[int, bytes]
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at : at + size], at + size
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError("a protocol buffer's field")
        if at > len(data):
            raise ValueError("a protocol buffer's field ends behind its message")
        yield tag >> 3, value


def _block(data: bytes, handle: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (key, value) pairs of the table's block at `handle` (offset, size)."""
    offset, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    if offset + size + 5 > len(data):
        raise ValueError("a block ends behind the file")
    if data[offset + size] != 0:
        raise UserError("its index is compressed, which TensorFlow never does; save it again")
    block = data[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        if len(key) > MAX_NAME:
            raise ValueError("a name that is too long")
        yield key, block[at + own : at + own + length]
        at += own + length


def _apart(handles: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the handles of blocks. Raises ValueError where they are together larger than their file."""
    left = size
    for handle in handles:
        _, at = _varint(handle, 0)
        left -= _varint(handle, at)[0]
        if left < 0:
            raise ValueError("blocks that overlap")
        yield handle


def _entries(data: bytes) -> dict[str, dict[int, Any]]:
    """Return name -> fields of its BundleEntryProto; the header has the empty name."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ValueError("not the footer of a TensorFlow index")
    footer = data[-_FOOTER:]
    _, at = _varint(footer, 0)  # the meta index: offset, size
    _, at = _varint(footer, at)
    handles = (handle for _, handle in _block(data, footer[at:]))
    pairs = itertools.chain.from_iterable(_block(data, handle) for handle in _apart(handles, len(data)))
    entries = {key.decode(): dict(_message(value)) for key, value in itertools.islice(pairs, _MAX_ENTRIES)}
    if next(pairs, None):  # pointers to the same block can repeat
        raise ValueError("too many entries")
    return entries


def _integer(fields: dict[int, Any], number: int, default: int = 0) -> int:
    value = fields.get(number, default)
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no integer")
    return value


def _shape(fields: dict[int, Any]) -> tuple[int, ...]:
    sides = [dict(_message(dim)).get(1, 0) for number, dim in _message(fields.get(2, b"")) if number == 2]
    if len(sides) > 32:
        raise ValueError("a shape of more than 32 sides")
    return tuple(side if side < 2**63 else -1 for side in sides)


def _variable(name: str, fields: dict[int, Any], shards: dict[int, bytes]) -> np.ndarray:
    if 7 in fields:
        raise UserError(f"variable {name!r} is partitioned, which published checkpoints are not")
    if fields.get(1) not in _TYPES:
        raise UserError(f"variable {name!r} has TensorFlow's type {fields.get(1)}, which is no number")
    dtype, shape = np.dtype(_TYPES[fields[1]]), _shape(fields)
    shard, offset, size = (_integer(fields, number) for number in (3, 4, 5))
    data = shards[shard]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size or offset + size > len(data):
        raise UserError(
            f"variable {name!r} claims shape {shape} and bytes {offset} to {offset + size} of {len(data)}"
        )
    return np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)


def read_tensorflow(prefix: Union[str, Path]) -> dict[str, np.ndarray]:
    """Read the variables of checkpoint PREFIX: names -> arrays in TensorFlow's layouts.

    Optimiser slots and counters are left out. Raises UserError for missing, truncated,
    big-endian, partitioned or otherwise unreadable checkpoints.
    """
    index = Path(f"{prefix}.index")
    data = read_bytes(index)
    with one_line(index):
        entries = _entries(data)
        header = entries.pop("", {})
        if _integer(header, 2):
            raise UserError("its numbers are big-endian; save it again on a little-endian machine")
        entries = {name: fields for name, fields in entries.items() if not _TRAINING.search(name)}
        numbers = {_integer(fields, 3) for fields in entries.values()}
        names = {number: f"{prefix}.data-{number:05d}-of-{_integer(header, 1, 1):05d}" for number in numbers}
    if not names:
        raise UserError(f"{index} names no weights, only what a training stores beside them")
    shards = {number: read_bytes(name) for number, name in names.items()}
    with one_line(prefix):
        state = {name: _variable(name, fields, shards) for name, fields in entries.items()}
        check_total(state, sum(map(len, shards.values())))
        return state
