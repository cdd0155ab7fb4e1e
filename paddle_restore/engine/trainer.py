"""The training loop: every recipe, every network."""

from __future__ import annotations

import math
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle

from paddle_restore.data.batches import batches
from paddle_restore.data.datasets import DATASETS
from paddle_restore.data.files import make_folder
from paddle_restore.engine import distributed
from paddle_restore.engine.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from paddle_restore.engine.config import Config
from paddle_restore.engine.evaluator import evaluate, means, report, side_by_side
from paddle_restore.engine.logging import Meter, RunLog
from paddle_restore.engine.mixup import mixup
from paddle_restore.engine.objectives import build_objective
from paddle_restore.engine.optim import build_optimizer, build_schedule
from paddle_restore.engine.plan import Plan
from paddle_restore.engine.scaling import scale_to_batch
from paddle_restore.errors import UserError
from paddle_restore.inference.backends.eager import EagerNetwork
from paddle_restore.models import create_model
from paddle_restore.weights import load_into, read_weights


def train(
    config: Config, folder: Path, resume: Optional[Path] = None, overwrite: bool = False
) -> dict[str, float]:
    """Train to the recipe's end; return the last evaluation's means.

    `folder` is the run folder, which `overwrite` empties first, and `resume` the checkpoint to go
    on from. Of the processes of a `paddle.distributed.launch` job, rank 0 alone writes.
    """
    # ---- processes
    rank, world = distributed.init()
    config, scaling = scale_to_batch(config, world)
    amp = _amp(config)
    chief = rank == 0

    # ---- network and data: all that a recipe can get wrong is found before anything is written
    paddle.seed(config.seed)
    model = create_model(config.model.id, **config.model.args)
    if config.pretrained:
        load_into(model, read_weights(config.pretrained), source=config.pretrained)
    kind = DATASETS[config.data.kind]
    # The largest crop of all stages: pictures too small for the last one must not wait until then.
    crop = max((stage.crop for stage in config.train.stages), default=None)
    datasets: dict[Any, Any] = {crop: kind.train(config.data, model.spec, crop=crop)}
    eval_set = kind.eval(config.data, model.spec)
    plan = Plan(config, len(datasets[crop]), rank, world)

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
    if resume:
        state = load_checkpoint(resume, model, optimizer, scaler)
    distributed.broadcast_parameters(model, world)

    # ---- run folder
    if chief:
        if overwrite:
            shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        (folder / "config.yml").write_text(config.to_yaml(), encoding="utf-8")
    log = RunLog(folder if chief else None, plan.iterations, state["iteration"])
    log.text(_introduction(config, model, plan, len(eval_set), world, resume, state))
    if scaling:
        log.text(scaling)

    run = _Run(config, folder, log, model, optimizer, scaler, eval_set, state, rank, world)
    save_points = plan.due(config.save.every or (1 if plan.unit == "epoch" else 1000))
    keep_points = plan.due(config.save.keep_every, config.save.keep_at, last=False)
    eval_points = plan.due(config.eval.every, config.eval.at)

    # ---- loop
    meter = Meter()
    tick = time.perf_counter()
    for iteration, batch in _stream(plan, datasets, kind, config, model.spec, state["iteration"]):
        reader_seconds = time.perf_counter() - tick
        lr = schedule(iteration)
        optimizer.set_lr(lr)
        # Whatever a network draws while training depends on the position alone.
        paddle.seed(int(np.random.SeedSequence([config.seed, iteration, rank]).generate_state(1)[0]))
        blend = config.train.mixup
        if blend and plan.epoch_at(iteration) + 1 >= blend.from_epoch:
            batch = mixup(batch, blend, config.seed, iteration, rank)
        with precision():
            losses = objective(model, batch)
        values = {name: loss.item() for name, loss in losses.items()}
        if not math.isfinite(values["loss"]):
            raise UserError(_non_finite(iteration, plan, values, batch["name"], folder))
        scaler.scale(losses["loss"]).backward()
        distributed.average_gradients(model.parameters(), world)
        scaler.step(optimizer)
        scaler.update()
        optimizer.clear_grad(set_to_zero=False)

        done = iteration + 1
        samples = len(batch["name"]) * world
        meter.add(values, samples, reader_seconds, time.perf_counter() - tick)
        log.advance()
        epoch = plan.epoch_at(iteration) + 1
        if done % config.train.log_every == 0 or done == plan.iterations:
            position = f"{epoch}/{plan.epochs}", f"{done}/{plan.iterations}"
            log.text(meter.line(*position, lr, plan.iterations - done))
            log.scalars("train", done, {"epoch": epoch, "lr": lr, **meter.mean_losses()})
            meter.reset()
        state["iteration"], state["epoch"] = done, epoch
        if done in eval_points:
            with precision():
                run.evaluate()
        if done in save_points:
            run.save("latest")
        if done in keep_points:
            run.save(f"iter_{done}")
        tick = time.perf_counter()
    log.close()
    return run.result


class _Run:
    """What evaluating and saving in the middle of a training need."""

    def __init__(self, config, folder, log, model, optimizer, scaler, eval_set, state, rank, world):
        self.config, self.folder, self.log, self.state = config, folder, log, state
        self.model, self.optimizer, self.scaler = model, optimizer, scaler
        self.eval_set, self.rank, self.world = eval_set, rank, world
        self.result: dict[str, float] = {}

    def evaluate(self) -> None:
        options, done = self.config.eval, self.state["iteration"]
        shown = 0

        def show(name: str, pictures: dict) -> None:
            nonlocal shown
            if self.rank == 0 and shown < options.pictures:
                self.log.picture(f"eval/{name}", done, side_by_side(pictures))
                shown += 1

        network = EagerNetwork(self.model)
        rows = evaluate(
            network, self.model.spec, self.eval_set, options.metrics, self.rank, self.world, on_picture=show
        )
        self.result = means(rows, options.metrics)
        if not self.result:
            raise UserError("data.exclude leaves no picture to evaluate on")
        values = ", ".join(f"{name}: {value:.4f}" for name, value in self.result.items())
        self.log.text(f"[eval] epoch: {self.state['epoch']}, iter: {done}, {values}")
        self.log.text(report(rows, options.metrics, self.eval_set.note))
        self.log.scalars("eval", done, self.result)
        score, best = self.result[options.best_metric], self.state["best"]
        if best is None or score > best["score"]:
            self.state["best"] = {"score": score, "metric": options.best_metric, "iteration": done}
            self.save("best_model")

    def save(self, name: str) -> None:
        if self.rank == 0:
            save_checkpoint(self.folder / name, self.model, self.optimizer, self.scaler, self.state)
        distributed.barrier(self.world)


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


def choose_checkpoint(folder: Path, resume: Optional[str], overwrite: bool) -> Optional[Path]:
    """Return the checkpoint that a run goes on from, if any.

    `resume` is None, "auto" (go on if there is something to go on from) or a checkpoint or run
    folder. Raises UserError rather than let a run write over another.
    """
    if resume and resume != "auto":
        given = Path(resume)
        checkpoint = given if (given / "state.json").is_file() else find_checkpoint(given)
        if checkpoint is None:
            raise UserError(f"{given}: holds no checkpoint to resume from")
        return checkpoint
    checkpoint = find_checkpoint(folder)
    if checkpoint and not resume and not overwrite:
        raise UserError(
            f"{folder}: holds a run already; go on with --resume auto, start anew with --overwrite, "
            "or choose another --output_dir"
        )
    return checkpoint if resume else None


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


def _non_finite(iteration: int, plan: Plan, values: dict, names: list, folder: Path) -> str:
    losses = ", ".join(f"{name} {value}" for name, value in values.items())
    return (
        f"non-finite loss at iteration {iteration + 1}/{plan.iterations} "
        f"({losses}; samples {', '.join(names)}); training stopped, the last good checkpoint is "
        f"{folder / 'latest'}; lower optimizer.lr or check the data"
    )
