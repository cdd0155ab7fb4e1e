"""Optimisers, and learning rates as pure functions of the position: nothing to save or restore."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import paddle

from paddle_restore.engine.config import OptimizerOptions, ScheduleOptions
from paddle_restore.engine.plan import Plan


def build_optimizer(options: OptimizerOptions, parameters: list) -> Any:
    common = {
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
    # use_multi_tensor is a matter of speed: in Paddle 3.3.1 on CPU the one-tensor Adam kernel starts
    # a second OpenMP runtime, whose threads then make every convolution of the process about three
    # times slower (SID, 4x256x256, 2 cores: 7.0 s a step against 2.3 s; benchmarks/adam_cpu.py).
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
    return paddle.nn.ClipGradByValue(options.clip_value) if options.clip_value else None


def build_schedule(options: ScheduleOptions, lr: float, plan: Plan) -> Callable[[int], float]:
    """Return the function from iteration (from 0) to learning rate."""
    length = plan.epochs if options.by == "epoch" else plan.iterations

    def schedule(iteration: int) -> float:
        position = plan.epoch_at(iteration) if options.by == "epoch" else iteration
        return learning_rate(options, lr, position, length)

    return schedule


def learning_rate(options: ScheduleOptions, lr: float, position: int, length: int) -> float:
    """Learning rate at epoch (or iteration) `position` of `length`, both from 0.

    The warm-up reaches `lr` in its last step, (position + 1) / warmup, and the cosine falls from
    there to `min_lr`: as MIRNetV2's Paddle reproduction behaves.
    """
    if position < options.warmup:
        return lr * (position + 1) / options.warmup
    if options.kind == "step":
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
    """One half cosine after another, each from `lr` to its own `min_lrs`, as BasicSR's
    CosineAnnealingRestartCyclicLR computes it, on which MIRNetV2's authors train.

    A cycle keeps its last value at the position where it ends, and the next is one step on by
    then. A `min_lrs` above `lr` makes a cycle rise. After the last cycle its end stays.
    """
    start, last = 0, len(options.periods) - 1
    for cycle, period in enumerate(options.periods):
        if position <= start + period or cycle == last:
            break
        start += period
    progress = min((position - start) / period, 1.0)
    weight = options.weights[cycle] if options.weights else 1.0
    least = options.min_lrs[cycle]
    return least + weight * 0.5 * (lr - least) * (1 + math.cos(math.pi * progress))
