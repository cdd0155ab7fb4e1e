"""Run an exported graph by Paddle Inference. Only this module has workarounds for its faults."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import inference

from paddle_restore.devices import check_device, gpu_number, is_gpu
from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.backends import graph_files
from paddle_restore.inference.package import Package
from paddle_restore.inference.paddle_file import check_program

# Paddle 3.3.1 stores leaky_relu's slope as a double. oneDNN's fusion of a convolution with an activation
# (or concatenation) reads it as a float, and the process ends in a segmentation fault on SID and MIRNetV2.
# The names that Paddle's own log shows (..._mkldnn_...) delete nothing.
BROKEN_ONEDNN_PASSES = ("conv_activation_onednn_fuse_pass", "conv_concat_activation_onednn_fuse_pass")

PRECISION_TYPES = {"fp32": inference.PrecisionType.Float32, "fp16": inference.PrecisionType.Half}


class Network:
    """An exported folder as a function of NumPy arrays: (N, C, H, W) [, noise] -> (N, 3, s*H, s*W).

    A graph that draws its own noise ignores what it is given.
    """

    def __init__(self, folder: Path, package: Package, device: str, precision: str, threads: int):
        files = graph_files(package, folder, "paddle")
        if files[0].suffix == ".json" and paddle.__version__.startswith("2."):
            # Paddle 2 would end in a segmentation fault.
            raise UserError(
                f"{folder}: was exported by Paddle {package.paddle}, Paddle {paddle.__version__} cannot "
                "read it; run it by Paddle 3, or export the weights again with this one"
            )
        try:
            str(folder).encode()
        except UnicodeEncodeError:  # Python could not decode the name, and Paddle does not take such a text
            raise UserError(
                f"{folder}: the name is not in this locale's encoding; set LC_ALL=C.UTF-8, or rename it"
            ) from None
        check_program(files[0])
        self.threads = threads
        self.name = "Paddle Inference" if precision == "fp32" else f"Paddle Inference {precision}"
        self.config = config = inference.Config(*map(str, files))
        config.disable_glog_info()
        if is_gpu(device):
            check_device(device)
            self._use_gpu(gpu_number(device), precision)
        else:
            self._use_cpu(precision)
        try:
            self._predictor: Any = inference.create_predictor(config)
        except Exception as error:  # its errors share no class: map::at of a damaged program is an IndexError
            reason = line_of(str(error).strip().splitlines()[-1:], 200)
            if precision != "fp32":
                raise UserError(
                    f"{folder}: Paddle Inference cannot run it in {precision} ({reason}); "
                    "use --backend openvino or --precision fp32"
                ) from None
            raise UserError(
                f"{folder}: Paddle Inference cannot load it ({reason}); export the model again"
            ) from None
        names = self._predictor.get_input_names()
        if sorted(names) != sorted(package.graph.inputs):
            raise UserError(
                f"{folder}: the graph takes {', '.join(names)}, and inference.yml says "
                f"{', '.join(package.graph.inputs) or 'nothing'}; export the model again"
            )
        self._lock = threading.Lock()
        self._inputs = [self._predictor.get_input_handle(name) for name in package.graph.inputs]
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def _use_gpu(self, number: int, precision: str) -> None:
        """Start with 256 MB. Layers that do not need it at once share memory."""
        self.config.enable_use_gpu(256, number, PRECISION_TYPES[precision])
        self.config.enable_memory_optim()

    def _use_cpu(self, precision: str) -> None:
        self.config.disable_gpu()
        self.config.set_cpu_math_library_num_threads(self.threads)
        if precision == "bf16":
            if not paddle.base.core.supports_bfloat16_fast_performance():
                raise UserError("this CPU has no bf16 instructions; use --precision fp32")
            self.config.enable_mkldnn_bfloat16()
        # Without it the older graph keeps all activations: three times the memory. With a PIR graph it fails
        # together with delete_pass.
        if self.config.prog_file().endswith(".pdmodel"):
            self.config.enable_memory_optim()
        for name in BROKEN_ONEDNN_PASSES:
            self.config.delete_pass(name)

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        with self._lock:  # all threads share the memory of the handles
            for handle, array in zip(self._inputs, inputs):
                handle.copy_from_cpu(np.ascontiguousarray(array, np.float32))
            self._predictor.run()
            return self._output.copy_to_cpu()
