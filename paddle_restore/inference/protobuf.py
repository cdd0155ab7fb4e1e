"""Walk a protobuf message without its library, which is not installed everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, Union[int, memoryview]]]:
    """Yield the fields of a message: number, and integer or bytes.

    Raises ValueError or IndexError for bytes that are no message.
    """
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
