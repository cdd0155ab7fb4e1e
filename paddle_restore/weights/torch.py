"""Read PyTorch checkpoints (`torch.save`), the zip format and the older one, without PyTorch.

A zip holds `NAME/data.pkl` and one raw file `NAME/data/KEY` for each storage. The older format is five
pickles (a magic number, a protocol, the machine's sizes, the object, the keys of the storages), then the
number of elements and the raw data of each storage. In both, the object's pickle refers to storages by
persistent ids, and a tensor is a call of `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`.
Source: torch/serialization.py.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from paddle_restore.errors import UserError
from paddle_restore.weights.machine import Machine, plain_shape
from paddle_restore.weights.unpickle import PLAIN, STATES, bfloat16_to_float32

MAGIC = 0x1950A86A20F9469CFC6C
_ZIP_DAMAGE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError)


class _StorageType:
    """A type of numbers that a pickle names, such as torch.FloatStorage."""

    def __init__(self, code: str):
        self.dtype = np.dtype("<u2" if code == "bf2" else "<" + code)
        self.bfloat16 = code == "bf2"

    def __call__(self, *_: Any) -> Any:
        raise TypeError("a storage type cannot be called")

    def array(self, data: bytes, offset: int = 0, count: Optional[int] = None) -> np.ndarray:
        needed = None if count is None else count * self.dtype.itemsize
        if needed is not None and not 0 <= needed <= len(data) - offset:
            raise UserError(f"a tensor claims {count} numbers, {needed} bytes, which the file does not hold")
        array = np.frombuffer(data, self.dtype, -1 if count is None else count, offset)
        return bfloat16_to_float32(array) if self.bfloat16 else array.copy()


def _tensor(storage: np.ndarray, offset: int, shape: tuple, strides: tuple, *_: Any) -> np.ndarray:
    """Return a view of the storage. The strides come from the file, so its whole reach is checked."""
    plain_shape((offset, *plain_shape(strides)[:31]))
    if len(plain_shape(shape)) != len(strides):
        raise ValueError("a tensor's shape and strides")
    count = math.prod(shape)
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides))
    if count and (last >= storage.size or count > storage.size):
        raise UserError(f"a tensor claims shape {shape} in a storage of {storage.size} numbers")
    if not count:
        return np.zeros(shape, storage.dtype)
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


_STORAGES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bf2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "b1",
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **PLAIN,
    **{f"torch.{name}Storage": _StorageType(code) for name, code in _STORAGES.items()},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": lambda sides=(): tuple(sides),
    "torch.device": lambda *_: "a device",
    "collections.Counter": lambda counts=(): dict(counts) if isinstance(counts, dict) else {},
}
_ANY = np.zeros(0, np.float32)
_WITHOUT_DATA: dict[str, Callable[..., Any]] = {
    **_FUNCTIONS,
    "torch._utils._rebuild_tensor": lambda *_: _ANY,
    "torch._utils._rebuild_tensor_v2": lambda *_: _ANY,
}


def _read_pickle(stream: io.BytesIO, persistent: Any = None) -> Any:
    return Machine(_FUNCTIONS, STATES, persistent).run(stream)


def _storage_reference(reference: tuple) -> tuple[str, _StorageType, int]:
    """Check a persistent id ("storage", type, key, device, count, …); return key, type, count."""
    kind, storage_type, key, _, count = reference[:5]
    if kind != "storage" or not isinstance(storage_type, _StorageType) or not isinstance(key, str):
        raise UserError("refused: its pickle refers to something that is no tensor's data")
    if len(reference) > 5 and reference[5] is not None:
        raise UserError(
            "its tensors share storages in a way that only PyTorch before 0.4 used; save it again"
        )
    return key, storage_type, int(count)


def read_zip(data: bytes) -> Any:
    """Return the object in a zip of torch.save. Raises UserError or one of DAMAGE."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _ZIP_DAMAGE as error:
        raise ValueError(str(error)) from None
    members = {info.filename: info for info in archive.infolist()}
    pickled = [name for name in members if name.endswith("/data.pkl")]
    if len(pickled) != 1:
        raise UserError("is a zip file, but not one that torch.save makes")
    folder = pickled[0][: -len("data.pkl")]
    left = len(data)

    def member(name: str) -> bytes:
        nonlocal left
        info = members[name]
        # Members are stored without compression, so together they are no larger than the file.
        left -= info.file_size
        if info.compress_type != zipfile.ZIP_STORED or left < 0:
            raise UserError("refused: members of its zip file are compressed or overlap")
        try:
            return archive.read(info)
        except _ZIP_DAMAGE as error:
            raise ValueError(str(error)) from None

    if folder + "byteorder" in members and member(folder + "byteorder") != b"little":
        raise UserError("its numbers are big-endian; save it again on a little-endian machine")
    storages: dict[str, tuple[_StorageType, np.ndarray]] = {}

    def storage(reference: tuple) -> np.ndarray:
        key, storage_type, count = _storage_reference(reference)
        if key not in storages:
            storages[key] = storage_type, storage_type.array(member(f"{folder}data/{key}"), 0, count)
        if storages[key][0] is not storage_type:
            raise UserError("one of its storages has two types")
        return storages[key][1]

    return _read_pickle(io.BytesIO(member(pickled[0])), storage)


def read_old(data: bytes) -> Any:
    """Return the object in a file of torch.save before 1.6. Raises UserError or one of DAMAGE."""
    stream = io.BytesIO(data)
    magic, _, machine = (_read_pickle(stream) for _ in range(3))
    if magic != MAGIC:
        raise ValueError("not PyTorch's magic number")
    if not machine["little_endian"]:
        raise UserError("its numbers are big-endian; save it again on a little-endian machine")
    start = stream.tell()

    # The data lies behind the pickle that gives its type, so that pickle is evaluated twice.
    types: dict[str, tuple[_StorageType, int]] = {}

    def record(reference: tuple) -> np.ndarray:
        key, storage_type, count = _storage_reference(reference)
        if types.setdefault(key, (storage_type, count)) != (storage_type, count):
            raise UserError("one of its storages has two types or sizes")
        return _ANY

    Machine(_WITHOUT_DATA, STATES, record).run(stream)
    storages = {}
    keys = _read_pickle(stream)
    if not all(isinstance(key, str) for key in keys):
        raise ValueError("the keys of its storages are no text")
    for key in keys:
        storage_type, count = types[key]
        position = stream.tell()
        if int.from_bytes(stream.read(8), "little") != count:
            raise ValueError("a storage's size")
        storages[key] = storage_type.array(data, position + 8, count)
        stream.seek(position + 8 + count * storage_type.dtype.itemsize)
    stream.seek(start)
    return _read_pickle(stream, lambda reference: storages[_storage_reference(reference)[0]])


def is_old(data: bytes) -> bool:
    """Whether the file begins with PyTorch's magic number, pickled by any protocol that has it."""
    return data[2:].startswith(pickle.dumps(MAGIC, 2)[2:-1])
