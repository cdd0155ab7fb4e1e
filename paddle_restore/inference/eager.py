"""Run a network by its own code."""

from __future__ import annotations

import copy
from typing import Optional

import numpy as np
import paddle

from paddle_restore.devices import on_gpu, thread_count

_HALVES = (paddle.float16, paddle.bfloat16)


class EagerNetwork:
    """A network in evaluation mode as a function of NumPy arrays: the picture, and a latent's noise."""

    name = "own code"

    def __init__(self, model: paddle.nn.Layer, threads: Optional[int] = None):
        """`threads` are those of a CPU, by default `thread_count()`; 0 leaves the number of the process.

        A training passes 0: after an evaluation it would go on with another number, and a resumed run would
        not be bitwise the same.
        """
        if any(parameter.dtype in _HALVES for parameter in model.parameters()):  # trained with train.amp O2
            model = copy.deepcopy(model).float()
        # `deployed` is the network without the parts that only training needs.
        self.model = model.deployed() if hasattr(model, "deployed") else model
        self.threads = thread_count() if threads is None else threads

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        training = self.model.training
        self.model.eval()
        if self.threads and not on_gpu():  # Paddle's number of threads is that of the whole process
            paddle.base.core.set_num_threads(self.threads)
        with paddle.no_grad():
            output = self.model(*map(paddle.to_tensor, inputs)).astype("float32").numpy()
        if training:
            self.model.train()
        return output
