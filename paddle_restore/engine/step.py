"""One iteration: a batch, blended where mix-up is on, changes the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Optional

import numpy as np
import paddle

from paddle_restore.devices import on_gpu
from paddle_restore.engine import distributed
from paddle_restore.engine.config import Config, MixupOptions
from paddle_restore.engine.objectives import build_objective
from paddle_restore.engine.optim import Ema, build_optimizer
from paddle_restore.errors import UserError

Batch = dict[str, Any]
"""Stacked tensors, and `name`: the list of the samples' names."""


@dataclass(frozen=True)
class StepResult:
    """What a step gave; the same on all processes.

    losses      means over the processes, by name
    gradient    the sum of all gradients: not finite where one of them is not; None with a loss scaler
    unreadable  whether a process replaced unreadable samples
    stop        whether a process was asked to stop
    """

    losses: dict[str, float]
    gradient: Optional[float]
    unreadable: bool
    stop: bool

    @property
    def finite(self) -> bool:
        values = [*self.losses.values(), 0.0 if self.gradient is None else self.gradient]
        return all(map(math.isfinite, values))


class Step:
    """The network with all that changes it: objective, precision, optimiser, loss scaler, average."""

    def __init__(self, config: Config, model: paddle.nn.Layer, world: int):
        self.accumulate, self.world = config.train.accumulate, world
        self.objective = build_objective(config.objective)
        self.optimizer = build_optimizer(config.optimizer, model.parameters())
        amp, dtype = config.train.amp, config.train.amp_dtype
        if amp and not on_gpu():
            raise UserError(
                "train.amp: mixed precision needs a GPU, Paddle ignores it on CPU; set train.amp=null"
            )
        self.scaler = paddle.amp.GradScaler(enable=bool(amp) and dtype == "float16")
        if amp == "O2":
            model, self.optimizer = paddle.amp.decorate(
                model, self.optimizer, level="O2", dtype=dtype, save_dtype="float32"
            )
        self.precision = partial(paddle.amp.auto_cast, enable=bool(amp), level=amp or "O1", dtype=dtype)
        self.model = model
        self.ema = Ema(model, config.train.ema) if config.train.ema else None
        # The optimiser states of a checkpoint, until the first update: Paddle 2.6 applies them only then,
        # and has none to save before.
        self.loaded: Optional[dict[str, Any]] = None

    def __call__(
        self, batch: Batch, lr: float, update: int, unreadable: bool = False, stop: bool = False
    ) -> StepResult:
        """Take one step. `update` counts from 1; `unreadable` and `stop` are this process's flags.

        No process changes its weights if a loss or gradient is not finite on any of them.
        """
        self.optimizer.set_lr(lr)
        losses: dict[str, paddle.Tensor] = {}
        for part in _split(batch, self.accumulate):
            with self.precision():
                values = {k: loss / self.accumulate for k, loss in self.objective(self.model, part).items()}
            self.scaler.scale(values["loss"]).backward()
            for name, loss in values.items():
                loss = loss.detach().astype("float32")
                losses[name] = losses[name] + loss if name in losses else loss
        parameters = self.model.parameters()
        distributed.average_gradients(parameters, self.world)
        result = self._agree(losses, parameters, unreadable, stop)
        if result.finite:
            self.loaded = None
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.ema:
                self.ema.update(update)
        elif self.scales_loss:
            self._report_overflow(parameters)
        self.optimizer.clear_grad(set_to_zero=False)
        return result

    @property
    def scales_loss(self) -> bool:
        """Whether a loss scaler skips steps that overflow float16, and lowers its factor."""
        return self.scaler.is_enable()

    def _report_overflow(self, parameters: list[paddle.Tensor]) -> None:
        """Tell the loss scaler of a loss that is not finite. The gradients that it looks at may be finite."""
        for gradient in [p.grad for p in parameters if p.grad is not None][:1]:
            gradient.copy_(paddle.full_like(gradient, math.nan), False)
            self.scaler.step(self.optimizer)  # which changes no weight
            self.scaler.update()

    def _agree(
        self,
        losses: dict[str, paddle.Tensor],
        parameters: list[paddle.Tensor],
        unreadable: bool,
        stop: bool,
    ) -> StepResult:
        """Average over the processes. One message carries all: it costs one wait for the device."""
        # A loss scaler checks the gradients itself: with it they may overflow.
        gradients = [] if self.scales_loss else [_sum_of_gradients(parameters)]
        flags = [unreadable, stop]
        any_unreadable, any_stop, *means = distributed.means(
            [*flags, *losses.values(), *gradients], self.world
        )
        gradient = means.pop() if gradients else None
        return StepResult(dict(zip(losses, means)), gradient, any_unreadable > 0, any_stop > 0)

    def nonfinite_weight(self) -> Optional[str]:
        """Return the name of a weight that is not finite, if there is one."""
        for name, parameter in self.model.state_dict().items():
            if not bool(paddle.isfinite(parameter.astype("float32")).all()):
                return name
        return None


def _split(batch: Batch, count: int) -> list[Batch]:
    """Cut a batch into `count` smaller ones of the same size."""
    if count == 1:
        return [batch]
    size = len(batch["name"]) // count
    return [{k: v[i * size : (i + 1) * size] for k, v in batch.items()} for i in range(count)]


def _sum_of_gradients(parameters: list[paddle.Tensor]) -> paddle.Tensor:
    gradients = [p.grad for p in parameters if p.grad is not None]
    return paddle.add_n([gradient.sum().astype("float32") for gradient in gradients])


# ---- mix-up

PICTURES = ("input", "target", "lq")


def mixup(
    batch: Batch,
    options: Optional[MixupOptions],
    epoch: int,
    position: tuple[int, int],
    rank: int = 0,
    world: int = 1,
) -> Batch:
    """Return the batch with every sample's input, target and lq blended with another sample's.

    Source: Zhang et al., "mixup", ICLR 2018; MIRNet and MIRNetV2 blend inputs and targets alike, with a
    weight for each sample (MIRNetV2's authors: for each batch) from Beta(1.2, 1.2). `epoch` counts from 1:
    before `options.from_epoch`, without options, and where `options.share` leaves it out, the batch is
    returned as it is.

    Partners and weights follow from `position`, (seed, iteration), so a resumed run draws the same. The
    partners come from the joint batch of all processes, so that several processes blend as one would.
    (MIRNetV2's Paddle reproduction blends within each process.)
    """
    if options is None or epoch < options.from_epoch:
        return batch
    # The last two numbers keep this generator apart from those of the samples, (seed, epoch, index).
    rng = np.random.default_rng([*position, 0, 1])
    if options.share < 1 and rng.random() >= options.share:
        return batch
    count = len(batch["name"])
    own = slice(rank * count, (rank + 1) * count)
    partners = paddle.to_tensor(rng.permutation(count * world)[own])
    drawn = rng.beta(options.beta, options.beta, (count * world, 1, 1, 1))
    if options.weight_of == "batch":
        drawn[:] = drawn[0]
    weights = paddle.to_tensor(drawn[own].astype(np.float32))

    def blend(pictures: paddle.Tensor) -> paddle.Tensor:
        joint = distributed.joint_batch(pictures, world)
        return weights * pictures + (1 - weights) * joint.index_select(partners)

    return {key: blend(value) if key in PICTURES else value for key, value in batch.items()}
