"""A recipe tried out: every part built, one step of each stage and one picture, nothing written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import paddle

from paddle_restore.data.batches import UNREADABLE, batches
from paddle_restore.engine.build import Job, build
from paddle_restore.engine.config import Config
from paddle_restore.engine.mixup import mixup
from paddle_restore.engine.optim import build_schedule
from paddle_restore.engine.step import GRADIENT
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.forward import restore_frame
from paddle_restore.metrics import evaluate as measure
from paddle_restore.metrics.resources import peak_memory


def dry_run(config: Config, resume: Optional[Path] = None) -> None:
    """Print what a training would do and need. Raises UserError for all that would stop it at once."""
    # A cache would be filled: the frames are decoded instead.
    if getattr(config.data, "cache", None):
        config = config.model_copy(update={"data": config.data.model_copy(update={"cache": None})})
    job = build(config, resume)
    lines = [job.introduction(), *job.notes, *_train_steps(job), _eval_step(job), _memory(), _disk(job)]
    if job.plan.rank == 0:
        print(*lines, "dry run: nothing was written", sep="\n")


def _train_steps(job: Job) -> Iterator[str]:
    """One iteration of every stage: its sizes are what memory must suffice for."""
    config, plan = job.config, job.plan
    schedule = build_schedule(config.schedule, config.optimizer.lr, plan)
    for stage in plan.stages:
        workers, latent = config.train.num_workers, job.step.model.spec.latent
        dataset = job.datasets[stage.crop]
        stream = batches(dataset, stage.order, 0, 1, workers, latent, config.train.max_unreadable)
        batch = next(stream)
        unreadable = batch.pop(UNREADABLE, [])
        shapes = ", ".join(f"{k} {list(v.shape)}" for k, v in batch.items() if paddle.is_tensor(v))
        epoch = plan.epoch_at(stage.first) + 1
        batch = mixup(batch, config.train.mixup, epoch, (config.seed, stage.first), plan.rank, plan.world)
        start = time.perf_counter()
        values = job.step(batch, schedule(stage.first), 1)
        seconds = time.perf_counter() - start
        values.pop(GRADIENT, None)
        losses = ", ".join(f"{name} {value:.6f}" for name, value in values.items())
        yield f"train step: {shapes}; {losses}; {seconds:.2f} s (the first one is slow)"
        yield from (f"unreadable: {line}" for line in unreadable)


def _eval_step(job: Job) -> str:
    model, metrics = job.step.model, job.config.eval.metrics
    sample = job.eval_set.sample(0)
    start = time.perf_counter()
    with job.step.precision():
        output = restore_frame(EagerNetwork(model), model.spec, sample["input"])
    seconds = time.perf_counter() - start
    pictures = [picture.transpose(1, 2, 0) for picture in (output, sample["target"])]
    values = ", ".join(f"{name} {value:.4f}" for name, value in measure(*pictures, metrics).items())
    sizes = f"input {list(sample['input'].shape)}, output {list(output.shape)}"
    return f"eval step: {sample['name']}: {sizes}; {values}; {seconds:.2f} s"


def _memory() -> str:
    line = f"memory: this process held at most {_mib(peak_memory())}"
    if paddle.get_device().startswith("gpu"):
        line += f", the GPU's allocator {_mib(paddle.device.cuda.max_memory_reserved())}"
    return line


def _disk(job: Job) -> str:
    weights = _bytes(job.step.model.state_dict())
    average = _bytes(job.step.ema.average) if job.step.ema else 0
    whole = weights + average + _bytes(job.step.optimizer.state_dict())
    return f"disk: weights {_mib(weights)}, a checkpoint {_mib(whole)}"


def _bytes(state: Any) -> int:
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    return state.size * state.element_size() if paddle.is_tensor(state) else 0


def _mib(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"
