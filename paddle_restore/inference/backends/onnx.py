"""Run an exported `model.onnx` by ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from paddle_restore.devices import gpu_number, is_gpu
from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.backends import graph_files
from paddle_restore.inference.onnx_file import read_onnx
from paddle_restore.inference.package import Package

# From 1.29 on it sends data on the machine and the graph to its makers, unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
try:
    import onnxruntime
except ImportError:
    onnxruntime = None


class Network:
    """An exported folder as a function of NumPy arrays: (N, C, H, W) [, noise] -> (N, 3, s*H, s*W)."""

    def __init__(self, folder: Path, package: Package, device: str, precision: str, threads: int):
        if onnxruntime is None:
            raise UserError("backend onnx needs ONNX Runtime; pip install 'paddle_restore[onnx]'")
        if precision != "fp32":
            raise UserError(f"ONNX Runtime has no {precision} for these graphs; use openvino or paddle")
        (path,) = graph_files(package, folder, "onnx")
        provider = "CUDAExecutionProvider" if is_gpu(device) else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise UserError("this ONNX Runtime has no GPU; install onnxruntime-gpu, or use --device cpu")
        self.threads = threads
        self.name = "ONNX Runtime"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        content = read_onnx(path)
        try:
            place = {"device_id": gpu_number(device)} if is_gpu(device) else {}
            self._session = onnxruntime.InferenceSession(content, options, providers=[(provider, place)])
        except Exception as error:  # its errors share no class
            reason = line_of(error, 200)
            raise UserError(f"{path}: ONNX Runtime cannot load it ({reason}); export it again") from None

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        # A graph that draws its own noise has one input, and ignores what is given.
        names = [value.name for value in self._session.get_inputs()]
        feed = {name: np.ascontiguousarray(array, np.float32) for name, array in zip(names, inputs)}
        return self._session.run(None, feed)[0]
