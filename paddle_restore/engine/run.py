"""A run and its folder: what it goes on from, what it writes, what it must not write over."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, Optional

import paddle
import yaml

from paddle_restore.data.files import atomic_path, make_folder
from paddle_restore.engine import distributed
from paddle_restore.engine.checkpoint import find_checkpoint, save_checkpoint
from paddle_restore.engine.config import Config
from paddle_restore.engine.evaluator import evaluate, means, report, side_by_side
from paddle_restore.engine.logging import RunLog
from paddle_restore.errors import UserError
from paddle_restore.inference.backends.eager import EagerNetwork

RECIPE = "config.yml"
# What a resumed run must have in common with the interrupted one for its weights to make sense.
_FIXED = ("model.", "seed", "optimizer.kind", "objective.kind", "data.kind")


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


def empty_folder(folder: Path) -> None:
    """Remove what a former run wrote, and nothing else that may lie there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        whole = path.name.lstrip(".").split(".")[0]
        if path.name in (RECIPE, "train.log", "metrics.jsonl"):
            path.unlink()
        elif path.is_dir() and (whole in ("latest", "best_model", "vdl") or whole.startswith("iter_")):
            shutil.rmtree(path)


def write_recipe(folder: Path, config: Config) -> None:
    make_folder(folder)
    with atomic_path(folder / RECIPE) as temporary:
        temporary.write_text(config.to_yaml(), encoding="utf-8")


def changes_since(checkpoint: Path, config: Config) -> list[str]:
    """What the recipe says otherwise than the run that wrote `checkpoint`, a line each.

    Raises UserError where its weights or optimiser would make no sense.
    """
    path = checkpoint.parent / RECIPE
    if not path.is_file():
        return []
    try:
        before = _flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError):
        return []
    now = _flat(yaml.safe_load(config.to_yaml()))
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    lines = [f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed]
    fixed = [line for key, line in zip(changed, lines) if key.startswith(_FIXED)]
    if fixed:
        raise UserError(
            f"{checkpoint}: cannot be resumed with another {'; '.join(fixed)}; "
            "start a run of its own (pretrained: takes the weights along)"
        )
    return lines


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{prefix}{key}.").items()}


class Run:
    """Evaluates and saves in the middle of a training."""

    def __init__(
        self, config: Config, folder: Path, log: RunLog, parts: tuple, eval_set: Any, state: dict[str, Any]
    ):
        self.config, self.folder, self.log, self.state = config, folder, log, state
        self.model, self.optimizer, self.scaler = parts
        self.eval_set = eval_set
        self.result: dict[str, float] = {}

    def evaluate(self, rank: int, world: int) -> None:
        options, done = self.config.eval, self.state["iteration"]
        shown = 0

        def show(name: str, pictures: dict) -> None:
            nonlocal shown
            if rank == 0 and shown < options.pictures:
                self.log.picture(f"eval/{name}", done, side_by_side(pictures))
                shown += 1

        self.check_weights()
        rows = evaluate(
            EagerNetwork(self.model),
            self.model.spec,
            self.eval_set,
            options.metrics,
            rank,
            world,
            on_picture=show,
        )
        self.result = means(rows, options.metrics)
        values = ", ".join(f"{name}: {value:.4f}" for name, value in self.result.items())
        self.log.text(f"[eval] epoch: {self.state['epoch']}, iter: {done}, {values}")
        self.log.text(report(rows, options.metrics, self.eval_set.note))
        self.log.scalars("eval", done, self.result)
        score, best = self.result[options.best_metric], self.state["best"]
        if math.isfinite(score) and (best is None or score > best["score"]):
            self.state["best"] = {"score": score, "metric": options.best_metric, "iteration": done}
            self.save("best_model", rank, world)

    def save(self, name: str, rank: int, world: int) -> None:
        self.check_weights()
        if rank == 0:
            save_checkpoint(self.folder / name, self.model, self.optimizer, self.scaler, self.state)
        distributed.barrier(world)

    def check_weights(self) -> None:
        """Raise UserError for weights that must neither be measured nor saved."""
        for name, parameter in self.model.state_dict().items():
            if not bool(paddle.isfinite(parameter.astype("float32")).all()):
                raise UserError(
                    f"non-finite weights ({name}) after iteration {self.state['iteration']}; "
                    f"training stopped, {self.last_checkpoint()}; lower optimizer.lr"
                )

    def last_checkpoint(self) -> str:
        """Where one can go on from, in words."""
        checkpoint = find_checkpoint(self.folder)
        return f"the last checkpoint is {checkpoint}" if checkpoint else "no checkpoint had been saved yet"
