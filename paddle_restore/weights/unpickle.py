"""Read Paddle's pickled checkpoints without running them (see `weights.machine`).

Source: what paddle.save writes (dicts of NumPy arrays; a tensor in another container is
`tuple((name, array))`), and NumPy's `ndarray.__reduce__` and `__setstate__`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union

import numpy as np

from paddle_restore.errors import UserError, line_of
from paddle_restore.weights.machine import DAMAGE, Machine, plain_key, plain_shape

MAX_NAME = 1000
"""Characters of a parameter's name."""

_NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])


class _Dtype:
    """A NumPy dtype in a pickle. The call gives its code, the state its byte order."""

    def __init__(self, code: str, *_: Any):
        if not isinstance(code, str) or code not in _NUMBERS:
            shown = code[:20] if isinstance(code, str) else type(code).__name__
            raise UserError(f"refused: arrays of type {shown!r}; only numbers are weights")
        self.code = code

    def set_order(self, state: tuple) -> int:
        if state[1] not in ("<", "|", "="):
            raise UserError("its numbers are big-endian; save it again on a little-endian machine")
        return 0

    def array(self, data: Union[bytes, str], shape: tuple, order: Literal["C", "F"] = "C") -> np.ndarray:
        needed = math.prod(plain_shape(shape)) * int(self.code[1:])
        if needed != len(data):
            raise UserError(f"an array claims shape {shape}, {needed} bytes, but holds {len(data)} bytes")
        if isinstance(data, str):  # written by Python 2
            data = data.encode("latin1")
        return np.frombuffer(data, np.dtype("<" + self.code)).reshape(shape, order=order)


def _reconstruct(*_: Any) -> np.ndarray:
    # The array's shape comes with its state; the one that NumPy passes here is another.
    return np.empty(0, np.uint8)


def _set_array(array: np.ndarray, state: tuple) -> int:
    _, shape, dtype, fortran, data = state
    filled = dtype.array(data, shape, "F" if fortran else "C")  # checks before NumPy sees them
    checked: Any = (1, shape, filled.dtype, bool(fortran), filled.tobytes("A"))
    array.__setstate__(checked)
    return array.nbytes


def _tuple(items: tuple = ()) -> Any:
    if len(items) == 2 and isinstance(items[0], str) and isinstance(items[1], np.ndarray):
        return items[1]  # a Paddle tensor with its name
    return tuple(items)


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes as protocol 2 writes them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in another form than that of protocol 2")
    return text.encode("latin1")


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return dtype.array(data, ()).item()


def _frombuffer(data: bytes, dtype: _Dtype, shape: tuple, order: Literal["C", "F"]) -> np.ndarray:
    return dtype.array(data, shape, order)  # an array as protocol 5 writes it


def _ordered_dict(pairs: Any = ()) -> dict:
    return {plain_key(key): value for key, value in pairs}


def _never(*_: Any) -> Any:
    raise TypeError("numpy.ndarray cannot be called")


def _ignore(*_: Any) -> int:
    return 0


PLAIN: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.tuple": _tuple,
    "__builtin__.tuple": _tuple,
    "_codecs.encode": _encode,
    "numpy.ndarray": _never,
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _frombuffer,
    # NumPy 2 names
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _frombuffer,
}
"""What a pickle of arrays, numbers and plain containers names, and the functions that stand for it here."""

STATES: Mapping[type, Callable[..., int]] = {
    np.ndarray: _set_array,
    _Dtype: _Dtype.set_order,
    dict: _ignore,  # PyTorch attaches version numbers to its OrderedDict
}
"""Types whose state such a pickle may set, and the functions that set it."""


def bfloat16_to_float32(array: np.ndarray) -> np.ndarray:
    """Convert bfloat16 that is stored as uint16. A bfloat16 is the upper half of a float32."""
    return (array.astype(np.uint32) << 16).view(np.float32)


def read_bytes(path: Union[str, PathLike]) -> bytes:
    """Return the file's bytes. Raises UserError for a file that is empty or cannot be read."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise UserError(f"{path} is empty; was its copy or download interrupted?")
    return data


@contextmanager
def one_line(where: Union[str, PathLike]) -> Iterator[None]:
    """Turn errors about wrong bytes into a UserError, one line that names the file."""
    try:
        yield
    except UserError as error:
        # Names in a pickle may hold lone surrogates, which cannot be written.
        raise UserError(f"{where}: {line_of(error)}".encode("utf-8", "replace").decode()) from None
    except DAMAGE as error:
        text = line_of(error, 100) or type(error).__name__
        raise UserError(f"{where} is truncated, damaged or no checkpoint ({text})") from None


def parse_pickle(data: bytes) -> Any:
    """Evaluate the pickle at the beginning of `data`. Raises UserError or one of DAMAGE."""
    value = Machine(PLAIN, STATES).run(io.BytesIO(data))
    if isinstance(value, dict):
        value.pop("StructuredToParameterName@@", None)  # Paddle's own bookkeeping
    return value


def load_pickle(path: Union[str, PathLike]) -> Any:
    """Read what `paddle.save` wrote (`.pdopt`, `.pdparams`; protocols 2 to 4) without running anything.

    Returns plain containers, numbers, strings and NumPy arrays. A Paddle tensor becomes its array (bfloat16
    as the uint16 that Paddle stores). Raises UserError, one line, for files that are missing, empty or
    truncated, or that name anything but tensors and containers.
    """
    data = read_bytes(path)
    with one_line(path):
        value = parse_pickle(data)
        check_total(value, len(data))
        return value


def check_total(value: Any, size: int) -> None:
    """Raise UserError if the arrays in a checkpoint are together much larger than its file of `size` bytes.

    Names can share an array, and arrays a storage. What is done for each name, such as a copy, would add up
    to any amount. Names of more than `MAX_NAME` characters are refused too: error lines show them.
    """
    left = 4 * size + 1_000_000
    parts = [value]
    while parts:
        part = parts.pop()
        for name, array in part.items() if isinstance(part, dict) else ():
            if isinstance(name, str) and len(name) > MAX_NAME:
                raise UserError(f"refused: it has a name of {len(name)} characters")
            if isinstance(array, np.ndarray):
                left -= array.nbytes
            elif isinstance(array, dict):
                left -= 64
                parts.append(array)
            if left < 0:
                raise UserError("refused: its arrays are together larger than the file that holds them")
