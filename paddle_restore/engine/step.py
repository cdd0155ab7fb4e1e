"""One iteration: from a batch to changed weights, in parts and at any precision."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Optional

import paddle

from paddle_restore.engine import distributed
from paddle_restore.engine.config import Config
from paddle_restore.engine.ema import Ema
from paddle_restore.engine.objectives import build_objective
from paddle_restore.engine.optim import build_optimizer
from paddle_restore.errors import UserError

GRADIENT = "gradient"
"""The name under which `Step` returns the sum of all gradients, which is not finite where one is not."""


class Step:
    """The network with all that changes it: objective, precision, optimiser, loss scaler, average."""

    def __init__(self, config: Config, model: Any, world: int):
        self.accumulate, self.world = config.train.accumulate, world
        self.objective = build_objective(config.objective)
        self.optimizer = build_optimizer(config.optimizer, model.parameters())
        amp = _amp(config)
        dtype = config.train.amp_dtype
        self.scaler = paddle.amp.GradScaler(enable=bool(amp) and dtype == "float16")
        if amp == "O2":
            model, self.optimizer = paddle.amp.decorate(
                model, self.optimizer, level="O2", dtype=dtype, save_dtype="float32"
            )
        self.precision = partial(paddle.amp.auto_cast, enable=bool(amp), level=amp or "O1", dtype=dtype)
        self.model = model
        self.ema = Ema(model, config.train.ema) if config.train.ema else None
        # The optimiser's states of a checkpoint until the first update: only then Paddle 2.6 takes
        # them over, and before it has nothing to save.
        self.loaded: Optional[dict[str, Any]] = None

    def __call__(self, batch: dict[str, Any], lr: float, update: int, **notes: float) -> dict[str, float]:
        """Take one step; return the losses and `notes`, means over all processes.

        Where a loss or a gradient is not finite on any process, none changes its weights. `update`
        counts from 1.
        """
        self.optimizer.set_lr(lr)
        losses: dict[str, Any] = {}
        for share in _parts(batch, self.accumulate):
            with self.precision():
                values = {
                    name: loss / self.accumulate for name, loss in self.objective(self.model, share).items()
                }
            self.scaler.scale(values["loss"]).backward()
            for name, loss in values.items():
                loss = loss.detach().astype("float32")
                losses[name] = losses[name] + loss if name in losses else loss
        parameters = self.model.parameters()
        distributed.average_gradients(parameters, self.world)
        # A loss scaler looks at the gradients itself: that they overflow at times is how it works.
        if not self.scaler.is_enable():
            losses[GRADIENT] = _sum_of_gradients(parameters)
        # One message and one wait for the device: what all processes must agree upon goes with the losses.
        means = distributed.mean_scalars({**losses, **notes}, self.world)
        if is_finite(means):
            self.loaded = None
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.ema:
                self.ema.update(update)
        self.optimizer.clear_grad(set_to_zero=False)
        return means


def is_finite(values: dict[str, float]) -> bool:
    return all(map(math.isfinite, values.values()))


def _parts(batch: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Cut a batch into `count` smaller ones of the same size."""
    if count == 1:
        return [batch]
    size = len(batch["name"]) // count
    return [{k: v[i * size : (i + 1) * size] for k, v in batch.items()} for i in range(count)]


def _sum_of_gradients(parameters: list) -> Any:
    gradients = [p.grad for p in parameters if p.grad is not None]
    return paddle.add_n([gradient.sum().astype("float32") for gradient in gradients])


def _amp(config: Config) -> Optional[str]:
    if config.train.amp and not paddle.get_device().startswith("gpu"):
        raise UserError(
            "train.amp: mixed precision needs a GPU, Paddle ignores it on CPU; set train.amp=null"
        )
    return config.train.amp
