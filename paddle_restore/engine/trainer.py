"""The training loop: every recipe, every network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import paddle

from paddle_restore.data.batches import UNREADABLE, WorkerError, batches, seed_all
from paddle_restore.engine import distributed
from paddle_restore.engine.build import Job, build
from paddle_restore.engine.config import Config
from paddle_restore.engine.faults import Faults
from paddle_restore.engine.folder import empty_folder, write_recipe
from paddle_restore.engine.logging import Meter, RunLog
from paddle_restore.engine.mixup import mixup
from paddle_restore.engine.optim import build_schedule
from paddle_restore.engine.peers import watched
from paddle_restore.engine.run import Run
from paddle_restore.engine.signals import StopRequest
from paddle_restore.engine.step import GRADIENT, is_finite
from paddle_restore.errors import UserError


def train(
    config: Config,
    folder: Path,
    resume: Optional[Path] = None,
    overwrite: bool = False,
    stop: Optional[StopRequest] = None,
) -> dict[str, float]:
    """Train to the recipe's end; return the last evaluation's means.

    `folder` is the run folder, from which `overwrite` first removes a former run, and `resume` the
    checkpoint to go on from. Of the processes of a `paddle.distributed.launch` job, rank 0 alone
    writes. Where `stop` asks one of them to, all end with Stopped after the running iteration, saved;
    where one fails, all end, with its error (see peers.py).
    """
    with watched(*distributed.init()):
        return _train(config, folder, resume, overwrite, stop or StopRequest())


def _train(
    config: Config, folder: Path, resume: Optional[Path], overwrite: bool, stop: StopRequest
) -> dict[str, float]:
    job = build(config, resume)
    config, step, plan, state = job.config, job.step, job.plan, job.state
    schedule = build_schedule(config.schedule, config.optimizer.lr, plan)

    # ---- run folder
    chief = plan.rank == 0
    if chief:
        if overwrite:
            empty_folder(folder)
        write_recipe(folder, config)
    kept = {"train": state["iteration"], "eval": state["evaluated"]}
    log = RunLog(folder if chief else None, plan.iterations, state["iteration"], kept)
    log.text(job.introduction())
    for line in job.notes:
        log.text(line)
    run = Run(job, folder, log, stop)
    faults = Faults(config.train, log, plan, state)
    meter = Meter(state["meter"])
    if state["evaluated"] < state["iteration"]:
        run.after_iteration(stopping=False)  # what the interrupted run did not come to

    # ---- loop
    tick = time.perf_counter()
    for iteration, batch in _stream(job, run):
        reader_seconds = time.perf_counter() - tick
        done, epoch, lr = iteration + 1, plan.epoch_at(iteration) + 1, schedule(iteration)
        # Whatever a network draws while training depends on the position alone.
        paddle.seed(seed_all([config.seed, iteration, plan.rank]))
        unreadable = batch.pop(UNREADABLE, [])
        batch = mixup(batch, config.train.mixup, epoch, (config.seed, iteration), plan.rank, plan.world)
        values = step(batch, lr, done, unreadable=len(unreadable), stop=stop.requested)
        stopping, faulty = values.pop("stop") > 0, values.pop("unreadable") > 0
        joint_batch = len(batch["name"]) * plan.world
        state.update(iteration=done, epoch=epoch, joint_batch=joint_batch)

        if is_finite(values):
            faults.finite()
            values.pop(GRADIENT, None)
            meter.add_losses(values)
        else:
            faults.nonfinite(done, values, batch["name"], run.last_checkpoint())
        meter.add(joint_batch, reader_seconds, time.perf_counter() - tick)
        log.advance()
        if done % config.train.log_every == 0 or done == plan.iterations:
            position = f"{epoch}/{plan.epochs}", f"{done}/{plan.iterations}"
            log.text(meter.line(*position, lr, plan.iterations - done))
            log.scalars("train", done, {"epoch": epoch, "lr": lr, **meter.mean_losses()})
            meter.reset()
        state["meter"] = meter.sums
        if faulty:
            faults.unreadable(unreadable, lambda: run.save("latest"))
        run.after_iteration(stopping)
        tick = time.perf_counter()
    log.close()
    return run.result


def _stream(job: Job, run: Run) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (iteration, batch) from where the job stands to the end, through all stages."""
    for stage in job.plan.stages:
        start = max(job.state["iteration"], stage.first)
        if start < stage.last:
            stream = batches(
                job.datasets[stage.crop],
                stage.order,
                start - stage.first,
                stage.last - stage.first,
                job.config.train.num_workers,
                job.step.model.spec.latent,
                job.config.train.max_unreadable,
            )
            try:
                yield from enumerate(stream, start)
            except (UserError, WorkerError):
                run.save_alone()
                raise
