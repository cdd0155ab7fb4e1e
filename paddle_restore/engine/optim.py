"""When a training does what, and how weights change: plan, learning rate, optimiser, weight average.

The plan and the learning rate are pure functions of the iteration, so a checkpoint does not hold them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle

from paddle_restore.arithmetic import ceil_div
from paddle_restore.data.batches import Order
from paddle_restore.engine.config import Config, EmaOptions, OptimizerOptions, ScheduleOptions
from paddle_restore.errors import UserError
from paddle_restore.weights import load_into, tensors_of

# ---- plan


@dataclass(frozen=True)
class Stage:
    """Iterations first ... last-1, all with the same batch and crop (None: the data's own)."""

    first: int
    last: int
    order: Order
    crop: Optional[int]


class Plan:
    """What is due at which iteration. Iterations count from 0 over all stages."""

    def __init__(self, config: Config, samples: int, rank: int = 0, world: int = 1):
        train = config.train
        self.unit, self.rank, self.world = train.unit, rank, world
        self.stages: list[Stage] = []
        first = epoch = 0
        for part in train.stages or (train,):
            order = Order(
                samples,
                part.batch_size,
                config.seed,
                rank,
                world,
                first_epoch=epoch,
                shared=train.each_process == "part",
            )
            length = part.epochs * order.iterations if part.epochs else part.iterations
            assert length  # the schema checks it
            self.stages.append(Stage(first, first + length, order, getattr(part, "crop", None)))
            first += length
            epoch += ceil_div(length, order.iterations)
        self.iterations = first
        self.epochs = epoch
        # Numbers of finished iterations after which to keep iter_N/, to write latest/ and to evaluate.
        save = config.save
        self.keep_points = self.due(save.keep_every, save.keep_at, last=False)
        # A run resumes from latest/, so that is written together with every iter_N/.
        self.save_points = self.due(save.every or (1 if self.unit == "epoch" else 1000)) | self.keep_points
        self.eval_points = self.due(config.eval.every, config.eval.at)
        self.picture_points = self.due(save.pictures_every, last=False)

    def stage_at(self, iteration: int) -> Stage:
        return next(stage for stage in self.stages if iteration < stage.last)

    def epoch_at(self, iteration: int) -> int:
        """Return the epoch of an iteration; epochs count from 0."""
        stage = self.stage_at(min(iteration, self.iterations - 1))
        return stage.order.first_epoch + (iteration - stage.first) // stage.order.iterations

    def iteration_of(self, position: float) -> int:
        """Return how many iterations are done after `position` epochs (may be a fraction) or iterations."""
        if self.unit == "iteration":
            return round(position)
        for stage in self.stages:
            after = (position - stage.order.first_epoch) * stage.order.iterations
            if stage.first + after <= stage.last:
                return stage.first + max(1, round(after))
        return self.iterations

    def due(self, every: Optional[float], at: tuple[int, ...] = (), last: bool = True) -> set[int]:
        """Return the numbers of finished iterations after which something periodic is due.

        `every` counts epochs or iterations, `at` are iterations, `last` adds the end.
        """
        points = {point for point in at if point <= self.iterations}
        if every:
            length = self.epochs if self.unit == "epoch" else self.iterations
            if length / every > 1e6:
                raise UserError(f"every {every:g} of {length} {self.unit}s is too often; use a larger number")
            points |= {self.iteration_of(step * every) for step in range(1, int(length / every + 1e-9) + 1)}
        return points | ({self.iterations} if last else set())


# ---- learning rate


def build_schedule(options: ScheduleOptions, lr: float, plan: Plan) -> Callable[[int], float]:
    """Return the function from iteration (from 0) to learning rate."""
    length = plan.epochs if options.by == "epoch" else plan.iterations

    def schedule(iteration: int) -> float:
        position = plan.epoch_at(iteration) if options.by == "epoch" else iteration
        return learning_rate(options, lr, position, length)

    return schedule


def learning_rate(options: ScheduleOptions, lr: float, position: int, length: int) -> float:
    """Return the learning rate at epoch (or iteration) `position` of `length`, counted from 0.

    The warm-up reaches `lr` in its last step: (position + 1) / warmup. The cosine falls from there to
    `min_lr`, as in MIRNetV2's Paddle reproduction.
    """
    if position < options.warmup:
        return lr * (position + 1) / options.warmup
    if options.kind == "step" and options.step:
        return lr * options.gamma ** (position // options.step)
    if options.kind == "multistep":
        return lr * options.gamma ** sum(position >= milestone for milestone in options.milestones)
    if options.kind == "cosine":
        begin = max(options.warmup - 1, 0)
        progress = min((position - begin) / max(length - options.warmup, 1), 1.0)
        return options.min_lr + (lr - options.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
    if options.kind == "cosine_cycles":
        return _cosine_cycles(options, lr, position)
    return lr


def _cosine_cycles(options: ScheduleOptions, lr: float, position: int) -> float:
    """One half cosine after another, each from `lr` to its own `min_lrs`.

    Computed like BasicSR's CosineAnnealingRestartCyclicLR, with which MIRNetV2's authors train: a cycle
    still has its last value at the position where it ends, so the next cycle begins at its second
    position. A cycle rises if its `min_lrs` is above `lr`. The last value stays after the last cycle.
    """
    start, last = 0, len(options.periods) - 1
    for cycle, period in enumerate(options.periods):
        if position <= start + period or cycle == last:
            break
        start += period
    progress = min((position - start) / period, 1.0)
    weight = options.weights[cycle] if options.weights else 1.0
    min_lr = options.min_lrs[cycle]
    return min_lr + weight * 0.5 * (lr - min_lr) * (1 + math.cos(math.pi * progress))


# ---- optimiser


def build_optimizer(options: OptimizerOptions, parameters: list[paddle.Tensor]) -> paddle.optimizer.Optimizer:
    common: dict[str, Any] = {
        "learning_rate": options.lr,
        "parameters": parameters,
        "grad_clip": _clip(options),
    }
    beta1, beta2 = options.betas
    if options.kind == "sgd":
        return paddle.optimizer.SGD(weight_decay=options.weight_decay or None, **common)
    if options.kind == "adamw":
        return paddle.optimizer.AdamW(
            beta1=beta1, beta2=beta2, epsilon=options.eps, weight_decay=options.weight_decay, **common
        )
    # use_multi_tensor is for speed: in Paddle 3.3.1 on CPU the one-tensor Adam kernel starts a second
    # OpenMP runtime, whose threads make every convolution of the process about three times slower
    # (SID, 4x256x256, 2 cores: 7.0 s a step against 2.3 s; benchmarks/adam_cpu.py).
    return paddle.optimizer.Adam(
        beta1=beta1,
        beta2=beta2,
        epsilon=options.eps,
        weight_decay=options.weight_decay or None,
        use_multi_tensor=True,
        **common,
    )


def _clip(options: OptimizerOptions) -> Any:
    if options.clip_norm:
        return paddle.nn.ClipGradByGlobalNorm(options.clip_norm)
    if options.clip_tensor_norm:
        return paddle.nn.ClipGradByNorm(options.clip_tensor_norm)
    return paddle.nn.ClipGradByValue(options.clip_value) if options.clip_value else None


# ---- weight average


class Ema:
    """The exponential moving average of the weights, in float32; often better than the last weights.

    average <- d * average + (1 - d) * weights, with d = min(decay, (1 + n) / (10 + n)) at update
    n = 1, 2, ...: like the warm-up of TensorFlow's ExponentialMovingAverage, without which the initial
    weights would stay in the average for long.
    """

    def __init__(self, model: paddle.nn.Layer, options: EmaOptions):
        self.model, self.options = model, options
        self.average = {name: _float_copy(tensor) for name, tensor in tensors_of(model).items()}

    def decay(self, update: int) -> float:
        return min(self.options.decay, (1 + update) / (10 + update))

    @paddle.no_grad()
    def update(self, update: int) -> None:
        """Add the current weights to the average; `update` counts from 1."""
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
        """Give the network the averaged weights inside the block, and its own ones, bit by bit, after it."""
        own = {name: tensor.detach().clone() for name, tensor in tensors_of(self.model).items()}
        self._set(self.average)
        try:
            yield
        finally:
            self._set(own)

    def load(self, state: dict[str, np.ndarray], source: Path) -> None:
        """Set the average. Raises UserError if it does not fit the network."""
        with self.applied():
            load_into(self.model, state, source=source)
            self.average = {name: _float_copy(tensor) for name, tensor in tensors_of(self.model).items()}

    def _set(self, values: dict[str, paddle.Tensor]) -> None:
        for name, tensor in tensors_of(self.model).items():
            tensor.set_value(values[name].astype(tensor.dtype))


def _float_copy(tensor: paddle.Tensor) -> paddle.Tensor:
    copy = tensor.detach().clone()
    return copy.astype("float32") if paddle.is_floating_point(copy) else copy
