"""The training loop: every recipe, every network."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle

from paddle_restore.data.batches import batches
from paddle_restore.data.datasets import DATASETS
from paddle_restore.engine import distributed
from paddle_restore.engine.checkpoint import load_checkpoint
from paddle_restore.engine.config import Config
from paddle_restore.engine.logging import Meter, RunLog
from paddle_restore.engine.mixup import mixup
from paddle_restore.engine.objectives import build_objective
from paddle_restore.engine.optim import build_optimizer, build_schedule
from paddle_restore.engine.plan import Plan
from paddle_restore.engine.run import Run, changes_since, empty_folder, write_recipe
from paddle_restore.engine.scaling import scale_to_batch
from paddle_restore.errors import UserError
from paddle_restore.models import create_model
from paddle_restore.weights import load_weights


def train(
    config: Config, folder: Path, resume: Optional[Path] = None, overwrite: bool = False
) -> dict[str, float]:
    """Train to the recipe's end; return the last evaluation's means.

    `folder` is the run folder, from which `overwrite` first removes a former run, and `resume` the
    checkpoint to go on from. Of the processes of a `paddle.distributed.launch` job, rank 0 alone writes.
    """
    # ---- processes
    rank, world = distributed.init()
    config, scaling = scale_to_batch(config, world)
    amp = _amp(config)
    chief = rank == 0

    # ---- network and data: all that a recipe can get wrong is found before anything is written
    paddle.seed(config.seed)
    model = create_model(config.model.id, **config.model.args)
    skipped = load_weights(model, config.pretrained, config.pretrained_partial) if config.pretrained else []
    kind = DATASETS[config.data.kind]
    # The largest crop of all stages: pictures too small for the last one must not wait until then.
    crop = max((stage.crop for stage in config.train.stages), default=None)
    datasets: dict[Any, Any] = {crop: kind.train(config.data, model.spec, crop=crop)}
    datasets[crop].sample(0, np.random.default_rng(config.seed))
    _check_crops(config, model.spec)
    eval_set = kind.eval(config.data, model.spec)
    plan = Plan(config, len(datasets[crop]), rank, world)
    save_points = plan.due(config.save.every or (1 if plan.unit == "epoch" else 1000))
    keep_points = plan.due(config.save.keep_every, config.save.keep_at, last=False)
    eval_points = plan.due(config.eval.every, config.eval.at)

    # ---- optimiser
    objective = build_objective(config.objective)
    optimizer = build_optimizer(config.optimizer, model.parameters())
    schedule = build_schedule(config.schedule, config.optimizer.lr, plan)
    scaler = paddle.amp.GradScaler(enable=bool(amp) and config.train.amp_dtype == "float16")
    if amp == "O2":
        model, optimizer = paddle.amp.decorate(
            model, optimizer, level="O2", dtype=config.train.amp_dtype, save_dtype="float32"
        )
    precision = partial(
        paddle.amp.auto_cast, enable=bool(amp), level=amp or "O1", dtype=config.train.amp_dtype
    )

    # ---- resume: weights, optimiser, scaler, position; everything random follows from the seed
    # and the position, so there is no generator to restore.
    state: dict[str, Any] = {"iteration": 0, "best": None}
    changed: list[str] = []
    if resume:
        changed = changes_since(resume, config)
        state = load_checkpoint(resume, model, optimizer, scaler)
    distributed.broadcast_parameters(model, world)

    # ---- run folder
    if chief:
        if overwrite:
            empty_folder(folder)
        write_recipe(folder, config)
    log = RunLog(folder if chief else None, plan.iterations, state["iteration"])
    log.text(_introduction(config, model, plan, len(eval_set), world, resume, state))
    notes = [scaling] if scaling else []
    if config.pretrained and not resume:
        notes += [f"starts from {config.pretrained}, {len(skipped)} arrays skipped", *skipped]
    for line in notes + [f"the recipe has changed: {line}" for line in changed]:
        log.text(line)

    run = Run(config, folder, log, (model, optimizer, scaler), eval_set, state)

    # ---- loop
    meter = Meter()
    tick = time.perf_counter()
    for iteration, batch in _stream(plan, datasets, kind, config, model.spec, state["iteration"]):
        reader_seconds = time.perf_counter() - tick
        lr = schedule(iteration)
        optimizer.set_lr(lr)
        # Whatever a network draws while training depends on the position alone.
        paddle.seed(int(np.random.SeedSequence([config.seed, iteration, rank]).generate_state(1)[0]))
        epoch = plan.epoch_at(iteration) + 1
        batch = mixup(batch, config.train.mixup, epoch, (config.seed, iteration, rank))
        with precision():
            losses = objective(model, batch)
        # The mean over all processes, so that all of them stop at a loss that is not finite.
        values = distributed.mean_scalars({name: loss.item() for name, loss in losses.items()}, world)
        if not math.isfinite(values["loss"]):
            raise _non_finite(values, iteration, plan, batch["name"], run)
        scaler.scale(losses["loss"]).backward()
        distributed.average_gradients(model.parameters(), world)
        scaler.step(optimizer)
        scaler.update()
        optimizer.clear_grad(set_to_zero=False)

        done = iteration + 1
        samples = len(batch["name"]) * world
        meter.add(values, samples, reader_seconds, time.perf_counter() - tick)
        log.advance()
        if done % config.train.log_every == 0 or done == plan.iterations:
            position = f"{epoch}/{plan.epochs}", f"{done}/{plan.iterations}"
            log.text(meter.line(*position, lr, plan.iterations - done))
            log.scalars("train", done, {"epoch": epoch, "lr": lr, **meter.mean_losses()})
            meter.reset()
        state["iteration"], state["epoch"] = done, epoch
        try:
            if done in eval_points:
                with precision():
                    run.evaluate(rank, world)
        finally:  # an evaluation that fails must not cost what was trained
            if done in save_points:
                run.save("latest", rank, world)
        if done in keep_points:
            run.save(f"iter_{done}", rank, world)
        tick = time.perf_counter()
    log.close()
    return run.result


def _stream(plan: Plan, datasets: dict, kind: Any, config: Config, spec: Any, first: int):
    """Yield (iteration, batch) from iteration `first` to the end, through all stages."""
    for stage in plan.stages:
        start = max(first, stage.first)
        if start >= stage.last:
            continue
        if stage.crop not in datasets:
            datasets[stage.crop] = kind.train(config.data, spec, crop=stage.crop)
        stream = batches(
            datasets[stage.crop],
            stage.order,
            start - stage.first,
            stage.last - stage.first,
            config.train.num_workers,
            spec.latent,
        )
        yield from enumerate(stream, start)


def _check_crops(config: Config, spec: Any) -> None:
    for crop in [config.data.crop] + [stage.crop for stage in config.train.stages]:
        if crop % spec.multiple:
            raise UserError(f"data.crop: {spec.id} needs a multiple of {spec.multiple}, not {crop}")


def _amp(config: Config) -> Optional[str]:
    if config.train.amp and not paddle.get_device().startswith("gpu"):
        raise UserError(
            "train.amp: mixed precision needs a GPU, Paddle ignores it on CPU; set train.amp=null"
        )
    return config.train.amp


def _introduction(config, model, plan, eval_count, world, resume, state) -> str:
    stages = "; ".join(
        f"batch {stage.order.batch_size}" + (f" crop {stage.crop}" if stage.crop else "")
        for stage in plan.stages
    )
    lines = [
        f"{config.name}: {config.model.id}, {sum(p.size for p in model.parameters()):,} parameters, "
        f"{plan.epochs} epochs, {plan.iterations} iterations, {stages}, "
        f"{eval_count} pictures to evaluate, {paddle.get_device()}, {world} process(es), seed {config.seed}"
    ]
    if resume:
        lines.append(f"resumed from {resume} after iteration {state['iteration']} of {plan.iterations}")
    return "\n".join(lines)


def _non_finite(values: dict[str, float], iteration: int, plan: Plan, names: list, run: Run) -> UserError:
    losses = ", ".join(f"{name} {value}" for name, value in values.items())
    return UserError(
        f"non-finite loss at iteration {iteration + 1}/{plan.iterations} ({losses}; samples "
        f"{', '.join(names)}); training stopped, {run.last_checkpoint()}; "
        "lower optimizer.lr or check the data"
    )
