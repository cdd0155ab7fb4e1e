"""Read the bytes of an ONNX file that may come from a stranger.

An ONNX tensor may name another file that holds its values. Our exports never do, and a file that does is
refused. A library follows the path when it opens the model, so the check must come before that. The package
`onnx` could check, but ONNX Runtime and OpenVINO run without it, and it need not be installed. So this module
walks the protobuf messages itself.
"""

from __future__ import annotations

from pathlib import Path

from paddle_restore.errors import UserError
from paddle_restore.inference.protobuf import fields

# Fields of onnx.proto that lead to tensors and to sets of operators: message -> {field number: message}.
_INSIDE = {
    "model": {7: "graph", 8: "operators", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "operators": {},
}
_VERSION = 2  # of a set of operators
MAX_VERSION = 1000
"""OpenVINO counts up to the version of a set of operators. There were 25 in 2026."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def read_onnx(path: Path) -> bytes:
    """Return the content of `path`. Raises UserError if it is not ONNX or refers to other files."""
    content = path.read_bytes()
    pending: list[tuple[str, memoryview]] = [("model", memoryview(content))]
    try:
        while pending:
            kind, message = pending.pop()
            for number, value in fields(message):
                if kind == "tensor":
                    if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                        raise UserError(f"{path}: refers to data in other files; export the model again")
                elif kind == "operators":
                    if number == _VERSION and not (isinstance(value, int) and value <= MAX_VERSION):
                        raise ValueError("a version that does not exist")
                elif number in _INSIDE[kind] and isinstance(value, memoryview):
                    pending.append((_INSIDE[kind][number], value))
    except (ValueError, IndexError):
        raise UserError(f"{path}: is not an ONNX file, or broken; export the model again") from None
    return content
