"""Try a recipe: build every part, run one step of each stage and restore one picture; write nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import paddle

from paddle_restore.data.batches import UNREADABLE
from paddle_restore.devices import on_gpu
from paddle_restore.engine.config import Config
from paddle_restore.engine.evaluator import measure_picture
from paddle_restore.engine.optim import build_schedule
from paddle_restore.engine.step import mixup
from paddle_restore.engine.trainer import Trainer
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.metrics.resources import peak_memory


def dry_run(config: Config, folder: Path, resume: Optional[Path] = None) -> None:
    """Print what a training would do and need. Raises UserError for what would stop it at the start."""
    # A cache would be filled, so the frames are decoded instead.
    if getattr(config.data, "cache", None):
        config = config.model_copy(update={"data": config.data.model_copy(update={"cache": None})})
    trainer = Trainer(config, folder, resume)
    lines = [trainer.introduction(), *trainer.notes, *_train_steps(trainer), _eval_step(trainer)]
    if trainer.is_rank0:
        print(*lines, _memory(), _disk(trainer), "dry run: nothing was written", sep="\n")


def _train_steps(trainer: Trainer) -> Iterator[str]:
    """Take one step of every stage, because each may need another amount of memory."""
    config, plan = trainer.config, trainer.plan
    schedule = build_schedule(config.schedule, config.optimizer.lr, plan)
    for stage in plan.stages:
        first = stage.first
        batch = next(trainer.stage_batches(stage, first, first + 1))
        unreadable = batch.pop(UNREADABLE, [])
        shapes = ", ".join(f"{k} {list(v.shape)}" for k, v in batch.items() if paddle.is_tensor(v))
        epoch = plan.epoch_at(first) + 1
        batch = mixup(batch, config.train.mixup, epoch, (config.seed, first), plan.rank, plan.world)
        start = time.perf_counter()
        result = trainer.step(batch, schedule(first), 1)
        seconds = time.perf_counter() - start
        losses = ", ".join(f"{name} {value:.6f}" for name, value in result.losses.items())
        yield f"train step: {shapes}; {losses}; {seconds:.2f} s (the first one is slow)"
        yield from (f"unreadable: {line}" for line in unreadable)


def _eval_step(trainer: Trainer) -> str:
    metrics, sample = trainer.config.eval.metrics, trainer.eval_set.sample(0)
    start = time.perf_counter()
    with trainer.step.precision():
        network, border = EagerNetwork(trainer.step.model), trainer.config.eval.border
        row, pictures = measure_picture(network, trainer.spec, sample, metrics, border=border)
    seconds = time.perf_counter() - start
    values = ", ".join(f"{name} {row[name]:.4f}" for name in metrics)
    output = pictures["out"].transpose(2, 0, 1)
    sizes = f"input {list(sample['input'].shape)}, output {list(output.shape)}"
    return f"eval step: {sample['name']}: {sizes}; {values}; {seconds:.2f} s"


def _memory() -> str:
    line = f"memory: this process held at most {_mib(peak_memory())}"
    if on_gpu():
        line += f", the GPU's allocator {_mib(paddle.device.cuda.max_memory_reserved())}"
    return line


def _disk(trainer: Trainer) -> str:
    step = trainer.step
    weights = _bytes(step.model.state_dict())
    average = _bytes(step.ema.average) if step.ema else 0
    whole = weights + average + _bytes(step.optimizer.state_dict())
    return f"disk: weights {_mib(weights)}, a checkpoint {_mib(whole)}"


def _bytes(state: Any) -> int:
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    return state.size * state.element_size() if paddle.is_tensor(state) else 0


def _mib(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"
