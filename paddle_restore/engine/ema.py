"""The exponential moving average of the weights, which often measures better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from pydantic import Field

from paddle_restore.options import Options
from paddle_restore.weights import load_into, tensors_of


class EmaOptions(Options):
    decay: float = Field(
        0.999, gt=0, lt=1, description="largest decay; after n updates it is at most (1+n)/(10+n)"
    )


class Ema:
    """average <- d * average + (1 - d) * weights after every update, in float32.

    d = min(decay, (1 + n) / (10 + n)) at update n = 1, 2, ...: the warm-up of TensorFlow's
    ExponentialMovingAverage, without which the initial weights would stay in the average for long.
    """

    def __init__(self, model: Any, options: EmaOptions):
        self.model, self.options = model, options
        self.average = {name: _copy(tensor) for name, tensor in tensors_of(model).items()}

    def decay(self, update: int) -> float:
        return min(self.options.decay, (1 + update) / (10 + update))

    @paddle.no_grad()
    def update(self, update: int) -> None:
        """Take the present weights in; `update` counts from 1."""
        share = 1 - self.decay(update)
        # Not lerp_, which takes five times as long in Paddle 3.3.1 on CPU.
        for name, tensor in tensors_of(self.model).items():
            average = self.average[name]
            if average.dtype == paddle.float32:
                average.scale_(1 - share).add_(tensor.astype("float32") * share)
            else:
                average.set_value(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network has the averaged weights within, and its own ones, bit by bit, after."""
        own = {name: tensor.detach().clone() for name, tensor in tensors_of(self.model).items()}
        self._set(self.average)
        try:
            yield
        finally:
            self._set(own)

    def load(self, state: dict[str, np.ndarray], source: Any) -> None:
        """Set the average. Raises UserError where it is not this network's."""
        with self.applied():
            load_into(self.model, state, source=source)
            self.average = {name: _copy(tensor) for name, tensor in tensors_of(self.model).items()}

    def _set(self, values: dict[str, Any]) -> None:
        for name, tensor in tensors_of(self.model).items():
            tensor.set_value(values[name].astype(tensor.dtype))


def _copy(tensor: Any) -> Any:
    copy = tensor.detach().clone()
    return copy.astype("float32") if paddle.is_floating_point(copy) else copy
