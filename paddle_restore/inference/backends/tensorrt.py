"""Run an exported `model.pdmodel` by Paddle Inference with TensorRT, on a GPU. Nobody has run it yet."""

from __future__ import annotations

from pathlib import Path

from paddle import inference

from paddle_restore.devices import check_device, is_gpu
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import graph_files
from paddle_restore.inference.backends import paddle as paddle_backend
from paddle_restore.inference.package import Package

WORKSPACE = 1 << 30
"""Bytes of GPU memory that TensorRT may use to choose and run a layer's kernel."""

MIN_SUBGRAPH = 3
"""Layers that a part of the graph must have at least, so that TensorRT runs it. Paddle runs the others."""


class Network(paddle_backend.Network):
    """An exported folder as a function of NumPy arrays: (N, C, H, W) [, noise] -> (N, 3, s*H, s*W).

    TensorRT builds its engine for the sizes that it has seen: the first call, and every call with a larger or
    smaller input than before, takes up to minutes.
    """

    def __init__(self, folder: Path, package: Package, device: str, precision: str, threads: int):
        if not is_gpu(device):
            raise UserError("TensorRT runs on a GPU; use --device gpu, or --backend paddle for a CPU")
        check_device(device)
        if inference.get_trt_compile_version() == (0, 0, 0):
            raise UserError("this PaddlePaddle was built without TensorRT; use --backend paddle")
        if graph_files(package, folder, "paddle")[0].suffix == ".json":
            raise UserError(
                f"{folder}: TensorRT runs model.pdmodel, not model.json; "
                "export the weights again with --legacy, or use --backend paddle"
            )
        super().__init__(folder, package, device, precision, threads)
        self.name = self.name.replace("Paddle Inference", "TensorRT")

    def _use_gpu(self, number: int, precision: str) -> None:
        super()._use_gpu(number, precision)
        # The precision is TensorRT's. No cache of engines: one of another GPU or version would not run.
        self.config.enable_tensorrt_engine(
            workspace_size=WORKSPACE,
            max_batch_size=1,
            min_subgraph_size=MIN_SUBGRAPH,
            precision_mode=paddle_backend.PRECISION_TYPES[precision],
            use_static=False,
            use_calib_mode=False,
        )
        # Height and width of the graphs are free: collect the sizes of all layers while running.
        self.config.enable_tuned_tensorrt_dynamic_shape("", True)
