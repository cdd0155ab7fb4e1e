"""Libraries that run an exported folder; all give the same pixels."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Optional

from paddle_restore.errors import UserError
from paddle_restore.inference.package import Package, read_package

# Made from (folder, package, device, precision, threads).
_CLASSES = {
    "paddle": "PaddleNetwork",
    "onnx": "OnnxNetwork",
    "openvino": "OpenVinoNetwork",
}
BACKENDS = tuple(_CLASSES)
PRECISIONS = ("fp32", "bf16", "fp16")
"""fp32 everywhere; bf16 on CPUs that have it, by Paddle Inference and OpenVINO; fp16 on GPUs."""


def open_network(
    folder: str | Path,
    backend: str = "paddle",
    device: str = "cpu",
    precision: str = "fp32",
    threads: Optional[int] = None,
) -> Any:
    """Open an exported folder as a function of NumPy arrays.

    The network maps (N, C, H, W) float32 [, noise] to (N, 3, scale*H, scale*W) float32, and carries
    `name` (what reports print) and `threads`. `backend` is `paddle` (Paddle Inference), `onnx` (ONNX
    Runtime) or `openvino`; `threads` defaults to the cores that this process may use.

    Raises UserError where the library is not installed, the folder has no graph for it, or library
    and machine do not have the precision.
    """
    if backend not in BACKENDS or precision not in PRECISIONS:
        raise UserError(
            f"no backend {backend!r} with precision {precision!r}; "
            f"backends: {', '.join(BACKENDS)}; precisions: {', '.join(PRECISIONS)}"
        )
    check_device(device)
    if (precision, device) in (("fp16", "cpu"), ("bf16", "gpu")):
        better = "bf16 or fp32" if device == "cpu" else "fp16 or fp32"
        raise UserError(f"{precision} does not run on {device} here; use {better}")
    package = read_package(folder)
    # Imported when asked for: two of the three libraries are optional.
    network = getattr(import_module(f"{__name__}.{backend}"), _CLASSES[backend])
    return network(Path(folder), package, device, precision, threads or len(os.sched_getaffinity(0)))


def check_device(device: str) -> None:
    """Raise UserError for what is no kind of device."""
    if device not in ("cpu", "gpu"):
        raise UserError(f"no device {device!r}; devices: cpu, gpu")


def check_paddle_gpu() -> None:
    """Raise UserError where Paddle has no GPU: Paddle Inference would die with a segmentation fault."""
    import paddle

    if not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        raise UserError(
            "this PaddlePaddle finds no GPU; install paddlepaddle-gpu and a driver, or use device cpu"
        )


def require(package: Package, folder: str | Path, graph: str) -> None:
    """Raise UserError where `folder` was not exported as `graph` (`paddle` or `onnx`)."""
    if getattr(package.graph, "onnx" if graph == "onnx" else "program") is None:
        raise UserError(f"{folder}: has no {graph} graph; export it with --format {graph} (or all)")
