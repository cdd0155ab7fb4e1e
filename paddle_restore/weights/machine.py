"""Evaluate a pickle that can build plain containers and call only functions from a given table.

A pickle is a program: its author chooses which functions run when it is opened. Python's `pickle.Unpickler`
with `find_class` restricts the functions, but it does not bound memory: a few bytes make it reserve
gigabytes for its memo, or copy the same data again and again. This evaluator cannot import. It refuses
every name that is not in the table, works on bytes that are already in memory, checks every claimed size
against them, and counts steps and copied bytes.

Source: the opcodes as Python's `pickletools` decodes and documents them.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable, Mapping
from typing import Any, Optional

from paddle_restore.errors import UserError

DAMAGE = (ValueError, TypeError, LookupError, OverflowError, AttributeError, RecursionError, struct.error)
"""What a parser raises for wrong bytes. Readers turn it into one line."""

_LITERALS = frozenset(
    [
        *("INT", "LONG", "FLOAT", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    ]
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset(["PROTO", "FRAME"])
_MAX_STEPS = 1_000_000  # a checkpoint takes about forty for each tensor


_MAX_KEY_BITS = 64


def plain_key(key: Any) -> Any:
    """Return `key` if it may be a dict's key. Hashing nested tuples or large integers can take forever."""
    if not isinstance(key, (str, int, float, type(None))):
        raise TypeError(f"a key of type {type(key).__name__}")
    if isinstance(key, int) and key.bit_length() > _MAX_KEY_BITS:
        raise ValueError("a key of more than 64 bits")
    return key


def plain_shape(shape: Any) -> tuple[int, ...]:
    """Return `shape` if it may be an array's. The product of integers of megabytes takes forever."""
    if not isinstance(shape, tuple) or len(shape) > 32:
        raise ValueError("an invalid shape")
    if any(type(side) is not int or not 0 <= side < 2**63 for side in shape):
        raise ValueError("an invalid shape")
    return shape


class Machine:
    """The evaluator of one pickle.

    functions   name -> function: all that the pickle can name and call
    states      type -> function(object, state): sets the state of an object of this type and returns the
                number of bytes that it copied
    persistent  resolves references to data outside the pickle (PyTorch's storages)
    """

    def __init__(
        self,
        functions: Mapping[str, Callable],
        states: Mapping[type, Callable],
        persistent: Optional[Callable] = None,
    ):
        self.functions = functions
        self.states = states
        self.persistent = persistent
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self, stream: io.BytesIO) -> Any:
        """Return the value of the pickle at the stream's position, and move the position behind it.

        Raises UserError for what is refused and one of DAMAGE for bytes that are no pickle.
        """
        max_copied = 2 * stream.getbuffer().nbytes + 1_000_000
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                break
            self._step(opcode.name, argument)
            if step > _MAX_STEPS or self.copied > max_copied:
                raise UserError("refused: its pickle does more work than any checkpoint needs")
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack.append(tuple(self._pop(_TUPLES[name])))
        elif name in _IGNORED:
            pass
        elif hasattr(self, "op_" + name):
            getattr(self, "op_" + name)(argument)
        else:
            raise ValueError(f"pickle opcode {name}, which no checkpoint needs")

    def _pop(self, count: int) -> list:
        if len(self.stack) < count:
            raise IndexError("the pickle's stack is too short")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _pop_mark(self) -> list:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def _refer(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a global whose name is no string")
        name = f"{module}.{name}"
        if name not in self.functions:
            raise UserError(
                f"refused: its pickle names {name[:100]!r}, no tensor or plain container; nothing ran"
            )
        self.stack.append(self.functions[name])

    # One method per opcode. The argument is what pickletools decoded after it.

    def op_MARK(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def op_POP(self, _: Any) -> None:
        self._pop(1)

    def op_TUPLE(self, _: Any) -> None:
        items = self._pop_mark()
        self.stack.append(tuple(items))

    def op_LIST(self, _: Any) -> None:
        items = self._pop_mark()
        self.stack.append(items)

    def op_DICT(self, _: Any) -> None:
        items = self._pop_mark()
        self.stack.append({})
        self._set_items(items)

    def op_APPEND(self, _: Any) -> None:
        items = self._pop(1)
        list.extend(self.stack[-1], items)

    def op_APPENDS(self, _: Any) -> None:
        items = self._pop_mark()
        list.extend(self.stack[-1], items)

    def op_ADDITEMS(self, _: Any) -> None:
        items = self._pop_mark()
        set.update(self.stack[-1], map(plain_key, items))

    def _set_items(self, items: list) -> None:
        for key, value in zip(items[::2], items[1::2]):
            dict.__setitem__(self.stack[-1], plain_key(key), value)

    def op_SETITEM(self, _: Any) -> None:
        self._set_items(self._pop(2))

    def op_SETITEMS(self, _: Any) -> None:
        self._set_items(self._pop_mark())

    def op_BINPUT(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    op_PUT = op_LONG_BINPUT = op_BINPUT

    def op_MEMOIZE(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_BINGET(self, index: int) -> None:
        self.stack.append(self.memo[index])

    op_GET = op_LONG_BINGET = op_BINGET

    def op_GLOBAL(self, name: str) -> None:
        self._refer(*name.split(" ", 1))

    def op_INST(self, name: str) -> None:
        self._pop_mark()
        self._refer(*name.split(" ", 1))
        raise UserError("refused: its pickle uses INST, which no checkpoint needs")

    def op_STACK_GLOBAL(self, _: Any) -> None:
        self._refer(*self._pop(2))

    def op_REDUCE(self, _: Any) -> None:
        function, arguments = self._pop(2)
        # Nothing can be called but what `_refer` put on the stack.
        if not any(function is given for given in self.functions.values()):
            raise TypeError("a call of something that is not in the table of functions")
        result = function(*arguments)
        if isinstance(result, (bytes, tuple, dict)):
            self.copied += len(result)
        self.stack.append(result)

    op_NEWOBJ = op_REDUCE

    def op_BUILD(self, _: Any) -> None:
        (state,) = self._pop(1)
        target = self.stack[-1]
        self.copied += self.states[type(target)](target, state)

    def op_BINPERSID(self, _: Any) -> None:
        if self.persistent is None:
            raise UserError("refused: its pickle refers to data outside itself")
        self.stack.append(self.persistent(*self._pop(1)))
