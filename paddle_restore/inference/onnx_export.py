"""Convert a traced Paddle graph to ONNX by paddle2onnx, and repair what paddle2onnx gets wrong."""

from __future__ import annotations

import contextlib
import io
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_restore.errors import UserError

if TYPE_CHECKING:
    import onnx

OPSET = 17
_SIDES = ("batch", None, "height", "width")


def require_onnx() -> None:
    """Raise UserError where the libraries of an ONNX export, or of its check, are missing."""
    try:
        for library in ("onnx", "onnxruntime", "paddle2onnx"):
            import_module(library)
    except ImportError as error:
        raise UserError(
            f"an ONNX export needs paddle2onnx, onnx and onnxruntime ({error}); "
            "pip install 'paddle_restore[onnx]' on Python 3.9 to 3.12, which paddle2onnx is made for"
        ) from None


def write_onnx(program: Path, parameters: Path, file: Path) -> None:
    """Convert `program` (model.json) with its weights to one `file`, whose numbers the caller must check.

    Raises UserError where paddle2onnx fails.
    """
    import onnx
    import paddle2onnx

    if program.suffix != ".json":
        raise UserError("ONNX is exported from Paddle 3's graphs; install paddlepaddle 3.0 or newer")
    stderr = io.StringIO()
    try:
        # paddle2onnx prints the traceback of its failures. Given a file to save to, it would fold constants
        # by polygraphy, which installs packages.
        with contextlib.redirect_stderr(stderr):
            content = paddle2onnx.export(
                str(program), str(parameters), save_file=None, opset_version=OPSET, optimize_tool="none"
            )
        model = onnx.load_model_from_string(content)
    except Exception as error:  # errors of its C++ code, and UnboundLocalError after them
        lines = [line for line in stderr.getvalue().splitlines() if "rror" in line] or [str(error)]
        reason = lines[-1].strip()
        raise UserError(f"ONNX export: paddle2onnx cannot convert this network ({reason})") from None
    _repair_leaky_relu(model, program)
    _name_ends(model)
    _remove_unused(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _repair_leaky_relu(model: onnx.ModelProto, program: Path) -> None:
    """Set every slope again: paddle2onnx 2.1 reads 4 bytes of Paddle's 8-byte slopes.

    Nodes and operations have the same order.
    """
    block = json.loads(program.read_text(encoding="utf-8"))["program"]["regions"][0]["blocks"][0]
    slopes = [
        attribute["AT"]["D"]
        for operation in block["ops"]
        if operation["#"].endswith(".leaky_relu")
        for attribute in operation["A"]
        if attribute["N"] == "negative_slope"
    ]
    nodes = [node for node in model.graph.node if node.op_type == "LeakyRelu"]
    if len(nodes) != len(slopes):
        raise UserError(
            f"ONNX export: paddle2onnx made {len(nodes)} leaky ReLUs of the network's {len(slopes)}"
        )
    for node, slope in zip(nodes, slopes):
        (alpha,) = (attribute for attribute in node.attribute if attribute.name == "alpha")
        alpha.f = slope


def _remove_unused(model: onnx.ModelProto) -> None:
    """Remove weights that no node reads. ONNX Runtime would print a warning for each."""
    used = {name for node in model.graph.node for name in node.input}
    kept = [weights for weights in model.graph.initializer if weights.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _name_ends(model: onnx.ModelProto) -> None:
    """Name the output `output`, and the dynamic dimensions `batch`, `height`, `width` and so on."""
    (output,) = model.graph.output
    for node in model.graph.node:
        node.output[:] = ["output" if name == output.name else name for name in node.output]
        node.input[:] = ["output" if name == output.name else name for name in node.input]
    output.name = "output"
    for prefix, value in [(f"{v.name}_", v) for v in model.graph.input] + [("output_", output)]:
        # All share the batch. The sides of a latent and of the output differ from the input's.
        prefix = "" if prefix == "input_" else prefix
        for dimension, side in zip(value.type.tensor_type.shape.dim, _SIDES):
            if side and not dimension.dim_value:
                dimension.dim_param = side if side == "batch" else prefix + side
