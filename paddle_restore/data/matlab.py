"""Read arrays of numbers from a .mat file of MATLAB 5 to 7.2, within bounds.

SciPy's reader ends in a segmentation fault on some damaged files. What SIDD and NIQE keep in .mat files are
plain arrays, which need little. Source: "MAT-File Format" by The MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple, Optional

import numpy as np

MAX_BYTES = 1 << 30
"""Bytes of an array. SIDD's blocks have 252 million."""

_MAX_VARIABLES = 1000
_HEAD = 65536  # decompressed bytes that hold type, shape and name of a variable
_INT32, _UINT32, _NAME, _MATRIX, _COMPRESSED = 5, 6, 1, 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x800


class _Element(NamedTuple):
    kind: int
    start: int
    size: int
    end: int  # where the next one begins


class _Variable(NamedTuple):
    name: str
    dtype: Optional[str]  # None for what is no plain array of numbers
    shape: tuple[int, ...]
    values: int  # where its values begin


def read_arrays(data: bytes, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the wanted arrays of a file by name, and the names of all variables.

    Cells, structures, text, sparse and complex arrays are not read. Raises ValueError for bytes that are no
    such file or damaged, and for arrays of more than `MAX_BYTES`.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if len(data) < 128 or order is None:
        raise ValueError("no header of a .mat file")
    arrays: dict[str, np.ndarray] = {}
    names = []
    for number, element in enumerate(_elements(data, order)):
        if number >= _MAX_VARIABLES:
            raise ValueError("too many variables")
        content = data[element.start : element.start + element.size]
        unpacked = zlib.decompressobj()
        compressed = element.kind == _COMPRESSED
        try:
            head = unpacked.decompress(content, _HEAD) if compressed else content
            start, size = 0, len(head)
            if compressed:
                inner = _element(head, 0, order, whole=False)
                if inner.kind != _MATRIX:
                    continue
                start, size = inner.start, inner.start + inner.size
            variable = _variable(head, start, order)
            names.append(variable.name)
            if variable.name not in wanted or variable.dtype is None:
                continue
            nbytes = math.prod(variable.shape) * np.dtype(variable.dtype).itemsize
            if max(nbytes, size // 2) > MAX_BYTES:
                raise ValueError(f"{variable.name} is larger than {MAX_BYTES >> 20} MiB")
            if compressed:
                head += unpacked.decompress(unpacked.unconsumed_tail, max(1, size - len(head) + 8))
                if not unpacked.eof and unpacked.decompress(unpacked.unconsumed_tail, 8):
                    raise ValueError("more compressed bytes than it says")
                if not unpacked.eof:
                    raise ValueError("compressed bytes are missing")
        except zlib.error as error:
            raise ValueError(str(error)) from None
        arrays[variable.name] = _values(head, variable, order)
    return arrays, names


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """Yield the matrices of a file, compressed or not; others are left out."""
    position = 128
    while position < len(data):
        element = _element(data, position, order)
        if element.kind in (_MATRIX, _COMPRESSED):
            yield element
        position = element.start + element.size if element.kind == _COMPRESSED else element.end


def _element(data: bytes, position: int, order: str, whole: bool = True) -> _Element:
    """Read the tag of the element at `position`. Raises ValueError where `data` does not hold all of it."""
    if position + 8 > len(data):
        raise ValueError("cut off")
    kind, size = struct.unpack_from(order + "II", data, position)
    if kind >> 16:  # a small one: its size stands in the tag's first half, its content in the second
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise ValueError("a small element of more than 4 bytes")
        return _Element(kind, position + 4, size, position + 8)
    start = position + 8
    if whole and start + size > len(data):
        raise ValueError("cut off")
    return _Element(kind, start, size, start + (size + 7) // 8 * 8)


def _variable(data: bytes, position: int, order: str) -> _Variable:
    """Read flags, shape and name of the matrix at `position`."""
    flags = _element(data, position, order)
    sides = _element(data, flags.end, order)
    name = _element(data, sides.end, order)
    if (flags.kind, flags.size, sides.kind, name.kind) != (_UINT32, 8, _INT32, _NAME) or sides.size > 4 * 32:
        raise ValueError("a variable without type, shape or name")
    (flag,) = struct.unpack_from(order + "I", data, flags.start)
    shape = struct.unpack_from(f"{order}{sides.size // 4}i", data, sides.start)
    if min(shape, default=0) < 0:
        raise ValueError("a negative shape")
    dtype = None if flag & _COMPLEX else _CLASSES.get(flag & 0xFF)
    text = data[name.start : name.start + name.size].decode("ascii", "replace")
    return _Variable(text, dtype, shape, name.end)


def _values(data: bytes, variable: _Variable, order: str) -> np.ndarray:
    """Return the values of a variable, which MATLAB stores in the smallest type that holds them."""
    element = _element(data, variable.values, order)
    if element.kind not in _TYPES:
        raise ValueError(f"{variable.name} has values of an unknown type")
    stored = np.dtype(order + _TYPES[element.kind])
    if math.prod(variable.shape) * stored.itemsize != element.size:
        raise ValueError(f"{variable.name} has {element.size} bytes for shape {variable.shape}")
    values = np.frombuffer(data, stored, math.prod(variable.shape), element.start)
    assert variable.dtype
    return values.reshape(variable.shape, order="F").astype(variable.dtype, copy=False)
