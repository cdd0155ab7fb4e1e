"""Checkpoints and the run folder that holds them. A checkpoint appears whole or not at all.

A checkpoint is a folder: model.pdparams, model.pdopt (optimiser and loss scaler), state.json and, with
train.ema, model_ema.pdparams. A run folder holds latest/, best_model/, iter_N/, the recipe and the logs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import paddle

from paddle_restore.data.files import atomic_path, make_folder
from paddle_restore.engine.config import Config
from paddle_restore.engine.logging import METRICS, NONFINITE, PICTURES, TEXT, VISUALDL
from paddle_restore.engine.optim import Plan
from paddle_restore.engine.state import RunState
from paddle_restore.engine.step import Step
from paddle_restore.errors import UserError
from paddle_restore.options import validate
from paddle_restore.weights import load_into, load_pdparams, load_pickle, tensors_of
from paddle_restore.yaml_file import read_yaml

WEIGHTS, AVERAGE, OPTIMIZER, STATE = "model.pdparams", "model_ema.pdparams", "model.pdopt", "state.json"
RECIPE = "config.yml"
_FOLDERS = ("latest", "best_model", VISUALDL, PICTURES)

# A run cannot be resumed after one of these has changed: its weights or optimiser states would not fit.
_FIXED = ("model.", "seed", "optimizer.kind", "objective.kind", "data.kind")

# ---- run folder


def choose_checkpoint(folder: Path, resume: Optional[str], overwrite: bool) -> Optional[Path]:
    """Return the checkpoint that a run resumes from, if any.

    `resume` is None, "auto" (resume if there is a checkpoint) or the folder of a run or checkpoint.
    Raises UserError if the run would write over another one.
    """
    present = find_checkpoint(folder)
    if resume and resume != "auto":
        given = Path(resume)
        checkpoint = given if (given / STATE).is_file() else find_checkpoint(given)
        if checkpoint is None:
            raise UserError(f"{given}: holds no checkpoint to resume from")
    else:
        checkpoint = present if resume else None
    own = checkpoint and checkpoint.parent.resolve() == folder.resolve()
    if present and not own and not overwrite:
        raise UserError(
            f"{folder}: holds a run already; go on with --resume auto, start anew with --overwrite, "
            "or choose another --output_dir"
        )
    return checkpoint


def find_checkpoint(run: Path) -> Optional[Path]:
    """Return the newest whole checkpoint of a run folder, or None."""
    latest = run / "latest"
    return next((folder for folder in (latest, _hidden(latest, "old")) if (folder / STATE).is_file()), None)


def empty_folder(folder: Path) -> None:
    """Remove what a former run wrote, and nothing else."""
    for path in folder.iterdir() if folder.is_dir() else ():
        name = path.name.lstrip(".").split(".")[0]  # of a checkpoint whose writing was interrupted too
        if path.name in (RECIPE, TEXT, METRICS, NONFINITE):
            path.unlink()
        elif path.is_dir() and (name in _FOLDERS or name.startswith("iter_")):
            shutil.rmtree(path)


def remove_old_checkpoints(run: Path, last: int, keep: int) -> None:
    """Remove iter_N/ of a run folder with N up to `last`, except the newest `keep`."""
    names = [path.name.removeprefix("iter_") for path in run.glob("iter_*")]
    iterations = sorted(int(name) for name in names if name.isdigit() and int(name) <= last)
    for iteration in iterations[:-keep]:
        folder = run / f"iter_{iteration}"
        old = _hidden(folder, "old")  # under another name a half-removed checkpoint is not found
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def write_recipe(folder: Path, config: Config) -> None:
    make_folder(folder)
    with atomic_path(folder / RECIPE) as temporary:
        temporary.write_text(config.to_yaml(), encoding="utf-8")


def recipe_changes(checkpoint: Path, config: Config) -> list[str]:
    """Return a line for each key that differs from the recipe of the run that wrote `checkpoint`.

    Raises UserError for a change with which the run cannot be resumed.
    """
    path = checkpoint.parent / RECIPE
    if not path.is_file():
        return []
    try:
        before = _flatten(read_yaml(path))
    except UserError:
        return []
    now = _flatten(config.model_dump(mode="json"))
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    lines = [f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed]
    fixed = [line for key, line in zip(changed, lines) if key.startswith(_FIXED)]
    if fixed:
        raise UserError(
            f"{checkpoint}: cannot be resumed with another {'; '.join(fixed)}; "
            "start a new run (pretrained: loads these weights into it)"
        )
    return lines


def _flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {k: v for key, value in values.items() for k, v in _flatten(value, f"{prefix}{key}.").items()}


# ---- writing


def save_checkpoint(folder: Path, step: Step, state: RunState) -> None:
    """Write a checkpoint. Raises UserError if that fails; the former one then stays."""
    temporary, old = _hidden(folder, "new"), _hidden(folder, "old")
    make_folder(folder.parent)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        paddle.save(step.model.state_dict(), str(temporary / WEIGHTS))
        if step.ema:
            paddle.save(step.ema.average, str(temporary / AVERAGE))
        optimizer = step.loaded or _by_structure(step.optimizer.state_dict(), step.model)
        paddle.save({"optimizer": optimizer, "scaler": step.scaler.state_dict()}, str(temporary / OPTIMIZER))
        (temporary / STATE).write_text(json.dumps(state.model_dump(), indent=1), encoding="utf-8")
        for file in temporary.iterdir():
            _sync(file)  # before the rename: after a power failure the new name must not hold empty files
        # A kill between the two renames leaves the former checkpoint under its `old` name, where
        # find_checkpoint looks too. So `old` is only removed once the new one is in place.
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        temporary.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)  # frees the space for the next attempt
        raise UserError(
            f"{folder}: checkpoint not written ({error.strerror or error}); the last one stays"
        ) from None
    shutil.rmtree(old, ignore_errors=True)


def _hidden(folder: Path, suffix: str) -> Path:
    return folder.parent / f".{folder.name}.{suffix}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---- reading


def load_checkpoint(folder: Path, step: Step) -> RunState:
    """Restore weights, average, optimiser and loss scaler; return the state.

    A checkpoint without an average gives its weights for one. Raises UserError if the checkpoint is
    broken or does not fit.
    """
    source = f"{folder / STATE}: cannot be resumed from"
    try:
        values = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{source} ({error})") from None
    state = validate(RunState, values, source)
    if state.evaluated is None:
        state.evaluated = state.iteration
    load_into(step.model, load_pdparams(folder / WEIGHTS), source=folder / WEIGHTS)
    if step.ema:
        average = folder / AVERAGE if (folder / AVERAGE).is_file() else folder / WEIGHTS
        step.ema.load(load_pdparams(average), source=average)
    states = load_pickle(folder / OPTIMIZER)
    if not isinstance(states, dict) or not isinstance(states.get("optimizer"), dict):
        raise UserError(f"{folder / OPTIMIZER}: holds no optimiser state; resume from another checkpoint")
    _check_states(states["optimizer"], step.model, folder / OPTIMIZER)
    step.optimizer.set_state_dict(_by_name(states["optimizer"], step.model))
    step.loaded = states["optimizer"]
    if step.scaler.is_enable() and states.get("scaler"):
        step.scaler.load_state_dict(states["scaler"])
    return state


def iteration_of(checkpoint: Path) -> Optional[int]:
    """Return the iteration of a checkpoint; None if there is none any more."""
    try:
        return json.loads((checkpoint / STATE).read_text(encoding="utf-8"))["iteration"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def data_changes(state: RunState, samples: dict[str, int]) -> list[str]:
    """Return a line for each of the two data sets whose size differs from the checkpoint's."""
    names = {"train": "training", "eval": "evaluation"}
    return [
        f"the {names[key]} data have changed: {state.samples[key]} -> {now} samples"
        for key, now in samples.items()
        if state.samples.get(key, now) != now
    ]


def process_changes(checkpoint: Path, state: RunState, plan: Plan) -> list[str]:
    """Return a log line if the number of processes or the joint batch differs from the checkpoint's.

    Raises UserError if the run has fewer iterations now than are done.
    """
    done, before = state.iteration, state.joint_batch
    order = plan.stage_at(min(max(done, 1), plan.iterations) - 1).order
    each = order.batch_size
    now = each * plan.world
    if before is None or (before, state.processes) == (now, plan.world):
        return []
    line = (
        f"processes: {state.processes} -> {plan.world}, {each} samples each, joint batch: {before} -> {now}"
    )
    if before == now and order.shared:
        return [f"{line}: nothing else changes"]
    if done > plan.iterations:
        raise UserError(
            f"{checkpoint}: {line}: after iteration {done} of now {plan.iterations} the run would be past "
            "its end; set train.batch_size so that the joint batch stays"
        )
    epoch = plan.epoch_at(max(done, 1) - 1) + 1
    return [f"{line}: iteration {done} was in epoch {state.epoch}, is now in epoch {epoch} of {plan.epochs}"]


# Paddle names optimiser states after its own parameter names (conv2d_7.w_0), which depend on what else
# the process has built. On disk they have the names of model.state_dict().


def _by_structure(states: dict[str, Any], model: paddle.nn.Layer) -> dict[str, Any]:
    return _rename(states, {parameter.name: name for name, parameter in model.state_dict().items()})


def _by_name(states: dict[str, Any], model: paddle.nn.Layer) -> dict[str, Any]:
    return _rename(states, {name: parameter.name for name, parameter in model.state_dict().items()})


def _rename(states: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Replace the parameter's name at the head of every key: `NAME_moment1_0`."""
    renamed = {}
    for key, value in states.items():
        if isinstance(value, dict) and key == "master_weights":
            renamed[key] = {names.get(name, name): array for name, array in value.items()}
            continue
        head = _parameter_of(key, names)
        renamed[key if head is None else names[head] + key[len(head) :]] = value
    return renamed


def _parameter_of(key: Any, names: Iterable[str]) -> Optional[str]:
    """Return the parameter's name at the head of a key."""
    return max((name for name in names if str(key).startswith(name + "_")), key=len, default=None)


def _check_states(states: dict[str, Any], model: paddle.nn.Layer, source: Path) -> None:
    """Raise UserError for states that Paddle would refuse with a traceback at the first update."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors_of(model).items()}
    kinds: dict[str, set[str]] = {}
    for key, value in states.items():
        name = _parameter_of(key, shapes)
        if name is None and key in ("master_weights", "LR_Scheduler"):
            continue
        if (
            name is None
            or getattr(value, "dtype", None) != "float32"
            or value.shape not in ((1,), shapes[name])
        ):
            raise UserError(f"{source}: {key} does not fit the network; resume from another checkpoint")
        # Mixed precision keeps some parameters in float16 and adds a float32 copy for these.
        kinds.setdefault(name, set()).add(re.sub(r"_fp32_master_\d+", "", key[len(name) :]))
    for name in kinds:
        if kinds[name] != set.union(*kinds.values()):
            raise UserError(f"{source}: states of {name} are missing; resume from another checkpoint")
