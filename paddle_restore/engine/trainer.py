"""The training loop, the same for every recipe, network and objective."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Optional

import numpy as np
import paddle

from paddle_restore.data.batches import UNREADABLE, Order, WorkerError, batches, seed_all
from paddle_restore.data.datasets import DATASETS, TrainDataset
from paddle_restore.data.image import to_integer, write_image
from paddle_restore.engine import distributed
from paddle_restore.engine.checkpoint import (
    AVERAGE,
    data_changes,
    empty_folder,
    find_checkpoint,
    iteration_of,
    load_checkpoint,
    process_changes,
    recipe_changes,
    remove_old_checkpoints,
    save_checkpoint,
    write_recipe,
)
from paddle_restore.engine.config import Config, scale_to_batch
from paddle_restore.engine.evaluator import Pictures, Row, evaluate, means, report, side_by_side
from paddle_restore.engine.logging import NONFINITE, PICTURES, Meter, RunLog
from paddle_restore.engine.optim import Plan, Stage, build_schedule
from paddle_restore.engine.run_lock import run_lock
from paddle_restore.engine.signals import Stopped, StopRequest
from paddle_restore.engine.state import Best, RunState
from paddle_restore.engine.step import Batch, Step, StepResult, mixup
from paddle_restore.errors import UserError
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.metrics import PROTOCOLS
from paddle_restore.models import ModelSpec, create_model
from paddle_restore.weights import load_weights

MAX_CONSECUTIVE_SKIPS = 100
"""A run ends after this many skipped batches in a row: more skipping does not help."""


def train(
    config: Config,
    folder: Path,
    resume: Optional[Path] = None,
    overwrite: bool = False,
    stop: Optional[StopRequest] = None,
) -> dict[str, float]:
    """Train to the end of the recipe; return the means of the last evaluation.

    `folder` is the run folder, `overwrite` first removes a former run from it, and `resume` is the
    checkpoint to resume from. In a job of `paddle.distributed.launch` only rank 0 writes. If `stop` is
    requested in one process, all save after the running iteration and raise Stopped. If one process
    fails, all end with its error (see distributed.py).
    """
    with distributed.watch_processes(*distributed.init()):
        return Trainer(config, folder, resume, stop).run(overwrite)


class Trainer:
    """One training. The constructor builds all parts and writes nothing; `run` trains.

    `notes` are lines for the log about the start, `result` the means of the last evaluation.
    """

    # ---- build

    def __init__(
        self,
        config: Config,
        folder: Path,
        resume: Optional[Path] = None,
        stop: Optional[StopRequest] = None,
    ):
        """Raises UserError for every mistake in the recipe or the checkpoint that shows before training."""
        self.folder, self.stop = folder, stop or StopRequest()
        self.log = RunLog(None)
        self.notes: list[str] = []
        self.result: dict[str, float] = {}

        # Processes.
        rank, world = distributed.init()
        self.is_rank0 = rank == 0
        self.config, scaling = scale_to_batch(config, world)
        config = self.config
        if scaling:
            self.notes.append(scaling)

        # Network.
        paddle.seed(config.seed)
        model = create_model(config.model.id, **config.model.args)
        self.spec: ModelSpec = model.spec
        if config.pretrained:
            skipped = load_weights(model, config.pretrained, config.pretrained_partial)
            if not resume:
                self.notes += [f"starts from {config.pretrained}, {len(skipped)} arrays skipped", *skipped]

        # Data. Reading a sample finds pictures that are smaller than the largest crop of all stages.
        self._datasets: dict[Optional[int], TrainDataset] = {}
        dataset = self._dataset(max((stage.crop for stage in config.train.stages), default=None))
        order = Order(len(dataset), 1, config.seed)
        next(batches(dataset, order, 0, 1, max_unreadable=config.train.max_unreadable))
        for crop in [config.data.crop] + [stage.crop for stage in config.train.stages]:
            if crop % self.spec.multiple:
                raise UserError(
                    f"data.crop: {self.spec.id} needs a multiple of {self.spec.multiple}, not {crop}"
                )
        self.eval_set = DATASETS[config.data.kind].eval(config.data, self.spec)
        self.plan = Plan(config, len(dataset), rank, world)
        self.samples = {"train": len(dataset), "eval": len(self.eval_set)}

        # Optimiser, and the checkpoint. It holds no random generator: random numbers follow from the seed
        # and the position.
        self.step = Step(config, model, world)
        self.resumed = resume
        self.state = RunState(iteration=0, evaluated=0, best=None)
        if resume:
            self._resume(resume)
        starts = distributed.gather([self.state.iteration], world)
        if len(set(starts)) > 1:
            raise UserError(
                f"the processes found checkpoints of different iterations ({', '.join(map(str, starts))}); "
                "the run folder must be on a disk that all machines share"
            )
        self.state.processes, self.state.samples = world, self.samples
        distributed.broadcast_parameters(self.step.model, world)

    def _dataset(self, crop: Optional[int]) -> TrainDataset:
        """Return the training data with crops of this size, made when first needed."""
        if crop not in self._datasets:
            data = self.config.data
            self._datasets[crop] = DATASETS[data.kind].train(data, self.spec, crop=crop)
        return self._datasets[crop]

    def _resume(self, checkpoint: Path) -> None:
        changes = recipe_changes(checkpoint, self.config)
        self.state = load_checkpoint(checkpoint, self.step)
        self.notes.append(
            f"resumed from {checkpoint} after iteration {self.state.iteration} of {self.plan.iterations}"
        )
        self.notes += [f"the recipe has changed: {line}" for line in changes]
        if self.step.ema and not (checkpoint / AVERAGE).is_file():
            self.notes.append(f"{checkpoint / AVERAGE} is not there: the average begins with the weights")
        self.notes += process_changes(checkpoint, self.state, self.plan)
        changes = data_changes(self.state, self.samples)
        self.notes += changes
        if self.state.iteration > self.plan.iterations:
            reason = "; ".join(changes) or "the recipe is shorter"
            raise UserError(
                f"{checkpoint}: is after iteration {self.state.iteration}, and the run ends after iteration "
                f"{self.plan.iterations} now ({reason}); put the data back, or train longer"
            )

    def introduction(self) -> str:
        """Return the first line of the log."""
        config, plan = self.config, self.plan
        stages = "; ".join(
            f"batch {stage.order.batch_size}" + (f" crop {stage.crop}" if stage.crop else "")
            for stage in plan.stages
        )
        return (
            f"{config.name}: {config.model.id}, {sum(p.size for p in self.step.model.parameters()):,} "
            f"parameters, {plan.epochs} epochs, {plan.iterations} iterations, {stages}, "
            f"{len(self.eval_set)} pictures to evaluate, {paddle.get_device()}, {plan.world} process(es), "
            f"seed {config.seed}"
        )

    # ---- loop

    def run(self, overwrite: bool = False) -> dict[str, float]:
        """Train; see `train`. Raises UserError if another process trains in the run folder."""
        with run_lock(self.folder) if self.is_rank0 else nullcontext():
            return self._run(overwrite)

    def _run(self, overwrite: bool) -> dict[str, float]:
        config, plan, state = self.config, self.plan, self.state
        schedule = build_schedule(config.schedule, config.optimizer.lr, plan)
        self._open_folder(overwrite)
        meter = Meter(state)
        if state.evaluated < state.iteration:
            self.after_iteration(stopping=False)  # which the interrupted run has not done

        tick = time.perf_counter()
        for iteration, batch in self._batches():
            reader_seconds = time.perf_counter() - tick
            done, epoch, lr = iteration + 1, plan.epoch_at(iteration) + 1, schedule(iteration)
            # Random numbers that a network draws while training depend on the position alone.
            paddle.seed(seed_all([config.seed, iteration, plan.rank]))
            unreadable = batch.pop(UNREADABLE, [])
            batch = mixup(batch, config.train.mixup, epoch, (config.seed, iteration), plan.rank, plan.world)
            result = self.step(batch, lr, done, unreadable=bool(unreadable), stop=self.stop.requested)
            state.iteration, state.epoch = done, epoch
            state.joint_batch = len(batch["name"]) * plan.world

            if result.finite:
                state.nonfinite.in_a_row = 0
                meter.add_losses(result.losses)
            else:
                self._skip_nonfinite(result, batch["name"])
            meter.add(state.joint_batch, reader_seconds, time.perf_counter() - tick)
            self.log.advance()
            if done % config.train.log_every == 0 or done == plan.iterations:
                position = f"{epoch}/{plan.epochs}", f"{done}/{plan.iterations}"
                self.log.text(meter.line(*position, lr, plan.iterations - done))
                self.log.scalars("train", done, {"epoch": epoch, "lr": lr, **meter.mean_losses()})
                meter.reset()
            if done in plan.picture_points:
                self._write_pictures(batch)
            if result.unreadable:
                self._count_unreadable(unreadable)
            self.after_iteration(result.stop)
            tick = time.perf_counter()
        self.log.close()
        return self.result

    def _open_folder(self, overwrite: bool) -> None:
        if self.is_rank0:
            self._check_unchanged()
            if overwrite:
                empty_folder(self.folder)
            write_recipe(self.folder, self.config)
            kept = {"train": self.state.iteration, "eval": self.state.evaluated}
            self.log = RunLog(self.folder, self.plan.iterations, self.state.iteration, kept)
        for line in (self.introduction(), *self.notes):
            self.log.text(line)

    def _check_unchanged(self) -> None:
        """Raise UserError if another process trained in the folder between loading and locking."""
        own = self.resumed and self.resumed.parent.resolve() == self.folder.resolve()
        if self.resumed and own and iteration_of(self.resumed) != self.state.iteration:
            raise UserError(f"{self.resumed}: another training has changed it meanwhile; start again")

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        """Yield (iteration, batch) from the current iteration to the end, through all stages."""
        for stage in self.plan.stages:
            start = max(self.state.iteration, stage.first)
            if start < stage.last:
                try:
                    yield from enumerate(self.stage_batches(stage, start, stage.last), start)
                except (UserError, WorkerError):
                    self._save_from_rank0()
                    raise

    def stage_batches(self, stage: Stage, first: int, last: int) -> Iterator[Batch]:
        """Yield the batches of iterations first ... last-1, which belong to `stage`."""
        return batches(
            self._dataset(stage.crop),
            stage.order,
            first - stage.first,
            last - stage.first,
            self.config.train.num_workers,
            self.spec.latent,
            self.config.train.max_unreadable,
        )

    # ---- evaluate and save

    def after_iteration(self, stopping: bool) -> None:
        """Evaluate and save what is due. If `stopping`, only save, and raise Stopped.

        If the evaluation fails or is stopped, the weights are saved all the same, and a resumed run begins
        with the evaluation. `latest` is written last: a run that is killed before repeats the rest.
        """
        done, plan = self.state.iteration, self.plan
        due = done in plan.save_points
        try:
            if not stopping and done in plan.eval_points and self.state.evaluated < done:
                with self.step.precision():
                    self._evaluate()
            if not stopping and done in plan.keep_points:
                self._save(f"iter_{done}")
                if self.is_rank0 and self.config.save.keep_last:
                    remove_old_checkpoints(self.folder, done, self.config.save.keep_last)
        except Stopped:
            stopping = True
        except UserError:
            due = True
            raise
        finally:
            if stopping or due:
                self._save("latest", required=stopping or done == plan.iterations)
        if stopping:
            raise Stopped(
                f"stopped by {self.stop.signal or 'another process'} after iteration {done} of "
                f"{plan.iterations}; saved, go on with --resume auto"
            )

    def _evaluate(self) -> None:
        options, state = self.config.eval, self.state
        shown = 0

        def show(row: Row, pictures: Pictures) -> None:
            nonlocal shown
            if self.is_rank0 and shown < options.pictures:
                self.log.picture(f"eval/{row['name']}", state.iteration, side_by_side(pictures))
                shown += 1

        self._check_weights()
        with self.step.ema.applied() if options.ema and self.step.ema else nullcontext():
            rows = evaluate(
                EagerNetwork(self.step.model, threads=0),
                self.spec,
                self.eval_set,
                options.metrics,
                self.plan.rank,
                self.plan.world,
                on_picture=show,
                stop=self.stop,
                border=options.border,
            )
        self.result = means(rows, options.metrics)
        values = ", ".join(f"{name}: {value:.4f}" for name, value in self.result.items())
        weights = ", averaged weights" if options.ema else ""
        self.log.text(f"[eval] epoch: {state.epoch}, iter: {state.iteration}{weights}, {values}")
        self.log.text(report(rows, options.metrics, self.eval_set.note))
        self.log.scalars("eval", state.iteration, self.result)
        state.evaluated = state.iteration
        self._save_if_best()

    def _save_if_best(self) -> None:
        metric, before = self.config.eval.best_metric, self.state.best
        score = self.result.get(metric, math.nan)
        if not math.isfinite(score):
            self.log.text(f"warning: {metric} is {score}, so this evaluation does not choose best_model")
            return
        if before and before.metric == metric:
            better = score > before.score if PROTOCOLS[metric].higher_is_better else score < before.score
            if not better:
                return
        self.state.best = Best(score=score, metric=metric, iteration=self.state.iteration)
        if not self._save("best_model"):
            self.state.best = before

    def _save(self, name: str, required: bool = False) -> bool:
        """Write a checkpoint from rank 0; return on all processes whether it was written.

        Raises UserError if it was not and `required` is set or `save.on_error` is stop.
        """
        self._check_weights()
        failure: Optional[UserError] = None
        if self.is_rank0:
            self.log.flush()
            try:
                save_checkpoint(self.folder / name, self.step, self.state)
            except UserError as error:
                failure = error
        (failed,) = distributed.means([failure is not None], self.plan.world)
        if not failed:
            return True
        if required or self.config.save.on_error == "stop":
            raise failure or UserError(f"{self.folder / name}: checkpoint not written by rank 0")
        self.log.text(f"warning: {failure}; training goes on")
        return False

    def _write_pictures(self, batch: Batch) -> None:
        """Write target and output of rank 0's samples, side by side, to pictures/ITERATION/NAME.jpg."""
        if not self.is_rank0 or "target" not in batch:
            return
        inputs = [batch[key].numpy() for key in ("input", "noise") if key in batch]
        with self.step.precision():
            outputs = EagerNetwork(self.step.model, threads=0)(*inputs)
        if outputs.shape[1] != 3:
            return  # planes of a raw frame
        ratios = batch["ratio"].tolist() if "ratio" in batch else [None] * len(outputs)
        folder = self.folder / PICTURES / str(self.state.iteration)
        for name, ratio, target, output in zip(batch["name"], ratios, batch["target"].numpy(), outputs):
            name = name if ratio is None else f"{name}_{int(ratio)}"
            pair = np.concatenate([target, output], axis=2).transpose(1, 2, 0)
            try:
                write_image(folder / f"{name}.jpg", to_integer(pair))
            except UserError as error:
                self.log.text(f"warning: {error}; training goes on")

    # ---- faults

    def _save_from_rank0(self) -> None:
        """Save from rank 0 without a collective operation: the other processes are blocked in one."""
        if self.is_rank0 and self.state.iteration:
            with suppress(UserError):  # the caller's error matters more
                self._check_weights()
                self.log.flush()
                save_checkpoint(self.folder / "latest", self.step, self.state)

    def _count_unreadable(self, lines: list[str]) -> None:
        """Count what the processes could not read. Above `max_unreadable`, save and raise UserError."""
        counts, allowed = self.state.unreadable, self.config.train.max_unreadable
        for line in distributed.gather(lines, self.plan.world):
            counts[line] = counts.get(line, 0) + 1
            if counts[line] == 1:
                self.log.text(
                    f"unreadable, another sample takes its place ({len(counts)} of {allowed}): {line}"
                )
        if len(counts) > allowed:
            self._save("latest")
            raise UserError(
                f"{len(counts)} training samples cannot be read, the last is {line}; "
                "repair or remove the files, or raise train.max_unreadable"
            )

    def _skip_nonfinite(self, result: StepResult, names: list[str]) -> None:
        """Count and record a batch that did not change the weights. Raises UserError if the run must end.

        `names` are this process's samples.
        """
        state, counts = self.state, self.state.nonfinite
        names = distributed.gather(names, self.plan.world)
        counts.count += 1
        counts.in_a_row += 1
        values = dict(result.losses)
        if result.gradient is not None:
            values["gradient"] = result.gradient
        self.log.record(
            NONFINITE, state.iteration, losses={k: str(v) for k, v in values.items()}, samples=names
        )
        what = "gradient" if math.isfinite(result.losses["loss"]) else "loss"
        losses = ", ".join(f"{name} {value:g}" for name, value in result.losses.items())
        position = f"{state.iteration}/{self.plan.iterations}"
        text = f"non-finite {what} at iteration {position} ({losses}; samples {', '.join(names)})"
        # A float16 overflow is the loss scaler's: it lowers its factor for the next step.
        skip = self.config.train.on_nonfinite == "skip" or self.step.scales_loss
        if skip and counts.in_a_row < MAX_CONSECUTIVE_SKIPS:
            self.log.text(f"{text}: skipped, {counts.count} so far")
            return
        in_a_row = f", {counts.in_a_row} in a row" if counts.in_a_row > 1 else ""
        raise UserError(
            f"{text}{in_a_row}; training stopped, {self._last_checkpoint()}; "
            "lower optimizer.lr or check the data"
        )

    def _check_weights(self) -> None:
        """Raise UserError for weights that are not finite; they are neither evaluated nor saved."""
        name = self.step.nonfinite_weight()
        if name:
            raise UserError(
                f"non-finite weights ({name}) after iteration {self.state.iteration}; "
                f"training stopped, {self._last_checkpoint()}; lower optimizer.lr"
            )

    def _last_checkpoint(self) -> str:
        checkpoint = find_checkpoint(self.folder)
        return f"the last checkpoint is {checkpoint}" if checkpoint else "no checkpoint had been saved yet"
