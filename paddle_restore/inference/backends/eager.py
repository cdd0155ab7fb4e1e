"""Run a network's own code."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle


class EagerNetwork:
    """A network in evaluation mode as a function of NumPy arrays: the picture, and a latent's noise."""

    def __init__(self, model: Any):
        # What a network folds away after training (weight normalisation) it offers as `deployed`.
        self.model = model.deployed() if hasattr(model, "deployed") else model
        self.name = "own code"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        training = self.model.training
        self.model.eval()
        with paddle.no_grad():
            output = self.model(*map(paddle.to_tensor, inputs)).astype("float32").numpy()
        if training:
            self.model.train()
        return output
