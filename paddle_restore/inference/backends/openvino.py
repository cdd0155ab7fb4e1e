"""Run an exported `model.onnx` by OpenVINO, in fp32 or bf16."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

import numpy as np

from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.backends import graph_files
from paddle_restore.inference.onnx_file import read_onnx
from paddle_restore.inference.package import Package

# Its import sends data to its makers, from a forked process that can hang and keep our pipes open. It has a
# stand-in for that part where the part is not installed.
_untold = "openvino_telemetry" not in sys.modules
if _untold:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
try:
    import openvino
except ImportError:
    openvino = None
finally:
    if _untold:
        del sys.modules["openvino_telemetry"]

# Set for fp32 too: on a CPU that has bf16, OpenVINO computes in bf16 by default.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}

OPENING_SECONDS = 120
"""OpenVINO never ends on some damaged graphs. The largest of ours opens in a few seconds."""


class Network:
    """An exported folder as a function of NumPy arrays: (N, C, H, W) [, noise] -> (N, 3, s*H, s*W)."""

    def __init__(self, folder: Path, package: Package, device: str, precision: str, threads: int):
        if openvino is None:
            raise UserError("backend openvino needs pip install 'paddle_restore[openvino]' (Python 3.10 on)")
        (path,) = graph_files(package, folder, "onnx")
        core = openvino.Core()
        target = device.upper().replace(":", ".")  # it calls its second GPU GPU.1
        # With several GPUs it lists GPU.0, GPU.1, ..., and takes GPU for the first.
        if not any(found in (target, f"{target}.0") for found in core.available_devices):
            raise UserError(f"OpenVINO finds no {device}; it has {', '.join(core.available_devices)}")
        if precision == "bf16" and "BF16" not in core.get_property(target, "OPTIMIZATION_CAPABILITIES"):
            raise UserError("this CPU has no bf16 instructions; use --precision fp32")
        self.threads = threads
        self.name = "OpenVINO" if precision == "fp32" else f"OpenVINO {precision}"
        config = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
        if device == "cpu":
            config["INFERENCE_NUM_THREADS"] = str(threads)
        self._lock = threading.Lock()
        content = read_onnx(path)
        try:
            self._model = _within(
                OPENING_SECONDS, lambda: core.compile_model(core.read_model(content, b""), target, config)
            )
        except TimeoutError:
            raise UserError(
                f"{path}: OpenVINO has not opened it within {OPENING_SECONDS} s; export it again"
            ) from None
        except RuntimeError as error:
            reason = line_of(error, 200)
            raise UserError(f"{path}: OpenVINO cannot load it ({reason}); export it again") from None

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        # A graph that draws its own noise has one input, and ignores what is given.
        arrays = [np.ascontiguousarray(array, np.float32) for array in inputs[: len(self._model.inputs)]]
        # The next call, of any thread, writes to the memory of this result.
        with self._lock:
            return self._model(arrays)[0].copy()


def _within(seconds: float, function: Callable[[], Any]) -> Any:
    """Return `function()`. Raises TimeoutError after `seconds`; its thread goes on in the background."""
    result: Future = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return result.result(seconds)
    except FutureTimeout:
        raise TimeoutError from None
