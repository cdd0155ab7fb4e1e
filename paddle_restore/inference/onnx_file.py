"""Read the bytes of an ONNX file, which may be a stranger's.

An ONNX tensor may say that its values lie in another file, by a path. Our exports never do; a file
that does is refused before a library follows the path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Union

from paddle_restore.errors import UserError

# Fields of onnx.proto that lead to tensors: message -> {field number: message}.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_onnx(path: Path) -> bytes:
    """Return the content of `path`. Raises UserError if it is not ONNX or refers to other files."""
    content = path.read_bytes()
    pending: list[tuple[str, memoryview]] = [("model", memoryview(content))]
    try:
        while pending:
            kind, message = pending.pop()
            for number, value in _fields(message):
                if kind == "tensor":
                    if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                        raise UserError(f"{path}: refers to data in other files; export the model again")
                elif number in _INSIDE[kind] and isinstance(value, memoryview):
                    pending.append((_INSIDE[kind][number], value))
    except (ValueError, IndexError):
        raise UserError(f"{path}: is not an ONNX file, or broken; export the model again") from None
    return content


def _fields(message: memoryview) -> Iterator[tuple[int, Union[int, memoryview]]]:
    """The fields of a protobuf message: their numbers, and integers or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("no such wire type")
        if at + size > len(message):
            raise ValueError("cut off")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number too long")
