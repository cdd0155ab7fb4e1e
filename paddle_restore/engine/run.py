"""What a run does between iterations: evaluating and saving."""

from __future__ import annotations

import math
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Optional

import paddle

from paddle_restore.engine import distributed
from paddle_restore.engine.build import Job
from paddle_restore.engine.checkpoint import find_checkpoint, remove_checkpoint, save_checkpoint
from paddle_restore.engine.evaluator import evaluate, means, report, side_by_side
from paddle_restore.engine.logging import RunLog
from paddle_restore.engine.signals import Stopped, StopRequest
from paddle_restore.errors import UserError
from paddle_restore.inference.eager import EagerNetwork


class Run:
    """Evaluates and saves in the middle of a training.

    `state` is what every checkpoint's state.json holds (see checkpoint.State).
    """

    def __init__(self, job: Job, folder: Path, log: RunLog, stop: StopRequest):
        self.folder, self.log, self.stop = folder, log, stop
        self.config, self.step, self.plan, self.state = job.config, job.step, job.plan, job.state
        self.eval_set = job.eval_set
        self.result: dict[str, float] = {}

    def after_iteration(self, stopping: bool) -> None:
        """Evaluate and save what is due; where `stopping`, save and raise Stopped.

        An evaluation that fails, or that a signal cuts short, must not cost what was trained: it is
        saved, and a resumed run begins with the evaluation. `latest` comes last, so that a run killed
        before it does the rest again.
        """
        done, plan = self.state["iteration"], self.plan
        due = done in plan.save_points
        try:
            if not stopping and done in self.plan.eval_points and self.state["evaluated"] < done:
                with self.step.precision():
                    self.evaluate()
            if not stopping and done in self.plan.keep_points:
                self.save(f"iter_{done}")
                self._remove_old(done)
        except Stopped:
            stopping = True
        except UserError:
            due = True
            raise
        finally:
            if stopping or due:
                self.save("latest", must=stopping or done == plan.iterations)
        if stopping:
            raise Stopped(
                f"stopped by {self.stop.signal or 'another process'} after iteration {done} of "
                f"{plan.iterations}; saved, go on with --resume auto"
            )

    def evaluate(self) -> None:
        options, done = self.config.eval, self.state["iteration"]
        shown = 0

        def show(name: str, pictures: dict) -> None:
            nonlocal shown
            if self.plan.rank == 0 and shown < options.pictures:
                self.log.picture(f"eval/{name}", done, side_by_side(pictures))
                shown += 1

        self.check_weights()
        with self.step.ema.applied() if options.ema else nullcontext():
            rows = evaluate(
                EagerNetwork(self.step.model),
                self.step.model.spec,
                self.eval_set,
                options.metrics,
                self.plan.rank,
                self.plan.world,
                on_picture=show,
                stop=self.stop,
            )
        self.result = means(rows, options.metrics)
        values = ", ".join(f"{name}: {value:.4f}" for name, value in self.result.items())
        weights = ", averaged weights" if options.ema else ""
        self.log.text(f"[eval] epoch: {self.state['epoch']}, iter: {done}{weights}, {values}")
        self.log.text(report(rows, options.metrics, self.eval_set.note))
        self.log.scalars("eval", done, self.result)
        self.state["evaluated"] = done
        score, best = self.result[options.best_metric], self.state["best"]
        if math.isfinite(score) and (best is None or score > best["score"]):
            self.state["best"] = {"score": score, "metric": options.best_metric, "iteration": done}
            if not self.save("best_model"):
                self.state["best"] = best

    def save(self, name: str, must: bool = False) -> bool:
        """Write a checkpoint, from rank 0; all processes wait for it and learn whether it was written.

        Raises UserError where it failed and `must` be, or `save.on_error` is stop.
        """
        self.check_weights()
        failure: Optional[UserError] = None
        if self.plan.rank == 0:
            self.log.flush()
            try:
                save_checkpoint(self.folder / name, self.step, self.state)
            except UserError as error:
                failure = error
        failed = distributed.mean_scalars({"failed": bool(failure)}, self.plan.world)["failed"]
        if not failed:
            return True
        if must or self.config.save.on_error == "stop":
            raise failure or UserError(f"{self.folder / name}: checkpoint not written by rank 0")
        self.log.text(f"warning: {failure}; training goes on")
        return False

    def save_alone(self) -> None:
        """Keep what was trained where the data fail: the other processes wait elsewhere, and will end."""
        if self.plan.rank == 0 and self.state["iteration"]:
            with suppress(UserError):  # not to hide what ends the run
                self.check_weights()
                self.log.flush()
                save_checkpoint(self.folder / "latest", self.step, self.state)

    def _remove_old(self, done: int) -> None:
        if self.plan.rank == 0 and self.config.save.keep_last:
            names = [path.name for path in self.folder.glob("iter_*")]
            kept = sorted(int(name[5:]) for name in names if name[5:].isdigit() and int(name[5:]) <= done)
            for iteration in kept[: -self.config.save.keep_last]:
                remove_checkpoint(self.folder / f"iter_{iteration}")

    def check_weights(self) -> None:
        """Raise UserError for weights that must neither be measured nor saved."""
        for name, parameter in self.step.model.state_dict().items():
            if not bool(paddle.isfinite(parameter.astype("float32")).all()):
                raise UserError(
                    f"non-finite weights ({name}) after iteration {self.state['iteration']}; "
                    f"training stopped, {self.last_checkpoint()}; lower optimizer.lr"
                )

    def last_checkpoint(self) -> str:
        """Where one can go on from, in words."""
        checkpoint = find_checkpoint(self.folder)
        return f"the last checkpoint is {checkpoint}" if checkpoint else "no checkpoint had been saved yet"
