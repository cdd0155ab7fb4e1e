"""Read the bytes of an ONNX file that may come from a stranger.

An ONNX tensor may name another file that holds its values. Our exports never do, and a file that does is
refused. A library follows the path when it opens the model, so the check must come before that. The package
`onnx` could check, but ONNX Runtime and OpenVINO run without it, and it need not be installed. So this module
walks the protobuf messages itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Union

from paddle_restore.errors import UserError

# Fields of onnx.proto below which tensors can be: message -> {field number: message}.
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
    """Yield the fields of a protobuf message: number, and integer or bytes."""
    offset = 0
    while offset < len(message):
        key, offset = _varint(message, offset)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, offset = _varint(message, offset)
            yield number, value
            continue
        if wire == _BYTES:
            size, offset = _varint(message, offset)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if offset + size > len(message):
            raise ValueError("truncated")
        yield number, message[offset : offset + size]
        offset += size


def _varint(message: memoryview, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[offset]
        offset += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, offset
    raise ValueError("varint too long")
