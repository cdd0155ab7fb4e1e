"""Checkpoints: folders that appear whole or not at all.

They hold model.pdparams, model.pdopt (with the loss scaler), state.json and, where the weights are
averaged, model_ema.pdparams.
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
from pydantic import BaseModel, Field

from paddle_restore.data.files import make_folder
from paddle_restore.engine.step import Step
from paddle_restore.errors import UserError
from paddle_restore.options import validate
from paddle_restore.weights import load_into, load_pdparams, load_pickle, tensors_of

WEIGHTS, AVERAGE, OPTIMIZER, STATE = "model.pdparams", "model_ema.pdparams", "model.pdopt", "state.json"


class Best(BaseModel):
    score: float
    metric: str
    iteration: int


class Nonfinite(BaseModel):
    count: int
    in_a_row: int


class Sums(BaseModel):
    count: int
    losses: dict[str, float]


class State(BaseModel):
    """What state.json holds: all of a run that is neither weights nor follows from the position.

    Those of older versions have the first two only.
    """

    iteration: int = Field(ge=0, description="iterations done")
    best: Optional[Best] = Field(description="what best_model/ holds, if there is one")
    epoch: int = Field(0, description="of the last iteration")
    joint_batch: Optional[int] = Field(None, description="samples of the last iteration, of all processes")
    processes: Optional[int] = Field(None, description="how many there were")
    evaluated: Optional[int] = Field(None, description="the last iteration with a finished evaluation")
    meter: Sums = Field(Sums(count=0, losses={}), description="sums since the last log line")
    unreadable: dict[str, int] = Field({}, description="samples replaced: what was wrong, how often")
    nonfinite: Nonfinite = Field(Nonfinite(count=0, in_a_row=0), description="batches that were left out")


def save_checkpoint(folder: Path, step: Step, state: dict[str, Any]) -> None:
    """Write a checkpoint. `state` is a State as plain data.

    Raises UserError where it cannot be written; the one that was there stays.
    """
    temporary, old = _beside(folder, "new"), _beside(folder, "old")
    make_folder(folder.parent)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        paddle.save(step.model.state_dict(), str(temporary / WEIGHTS))
        if step.ema:
            paddle.save(step.ema.average, str(temporary / AVERAGE))
        optimizer = step.loaded or _by_structure(step.optimizer.state_dict(), step.model)
        paddle.save({"optimizer": optimizer, "scaler": step.scaler.state_dict()}, str(temporary / OPTIMIZER))
        (temporary / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
        for file in temporary.iterdir():
            _sync(file)  # or a machine that fails may leave the new name with nothing in it
        # Between the two renames a kill leaves the former checkpoint whole under its `old` name,
        # where find_checkpoint looks too; so it must not go before there is a new one.
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        temporary.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)  # it takes the room that the next one needs
        raise UserError(
            f"{folder}: checkpoint not written ({error.strerror or error}); the last one stays"
        ) from None
    shutil.rmtree(old, ignore_errors=True)


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint, under another name, so that half of one is never found."""
    old = _beside(folder, "old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def find_checkpoint(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run folder, or None."""
    latest = run / "latest"
    return next((folder for folder in (latest, _beside(latest, "old")) if (folder / STATE).is_file()), None)


def load_checkpoint(folder: Path, step: Step) -> dict[str, Any]:
    """Restore weights, average, optimiser and loss scaler; return the state.

    Raises UserError if it does not fit. A run that begins to average starts with the weights.
    """
    source = f"{folder / STATE}: is no state to resume from"
    try:
        values = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{source} ({error})") from None
    state = validate(State, values, source).model_dump()
    if state["evaluated"] is None:
        state["evaluated"] = state["iteration"]
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


def _beside(folder: Path, what: str) -> Path:
    return folder.parent / f".{folder.name}.{what}"


# Paddle names optimiser states by its own parameter names (conv2d_7.w_0), which depend on what
# else the process has built; on disk they go by the names of model.state_dict().


def _by_structure(states: dict[str, Any], model: Any) -> dict[str, Any]:
    names = {parameter.name: name for name, parameter in model.state_dict().items()}
    return _rename(states, names)


def _by_name(states: dict[str, Any], model: Any) -> dict[str, Any]:
    names = {name: parameter.name for name, parameter in model.state_dict().items()}
    return _rename(states, names)


def _check_states(states: dict[str, Any], model: Any, source: Path) -> None:
    """Raise UserError for states that Paddle would refuse, at the first update and with a traceback."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors_of(model).items()}
    kinds: dict[str, set[str]] = {}
    for key, value in states.items():
        name = _head(key, shapes)
        if name is None and key in ("master_weights", "LR_Scheduler"):
            continue
        fits = name and getattr(value, "dtype", None) == "float32" and value.shape in ((1,), shapes[name])
        if not fits:
            raise UserError(f"{source}: {key} does not fit the network; resume from another checkpoint")
        # Mixed precision keeps some parameters in float16, with float32 ones beside, and some not.
        kinds.setdefault(name, set()).add(re.sub(r"_fp32_master_\d+", "", key[len(name) :]))
    for name in kinds:
        if kinds[name] != set.union(*kinds.values()):
            raise UserError(f"{source}: states of {name} are missing; resume from another checkpoint")


def _rename(states: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Replace the parameter's name at the head of every key: `NAME_moment1_0`."""
    renamed = {}
    for key, value in states.items():
        if isinstance(value, dict) and key == "master_weights":
            renamed[key] = {names.get(name, name): array for name, array in value.items()}
            continue
        head = _head(key, names)
        renamed[key if head is None else names[head] + key[len(head) :]] = value
    return renamed


def _head(key: Any, names: Iterable[str]) -> Optional[str]:
    """The parameter's name that a key begins with."""
    return max((name for name in names if str(key).startswith(name + "_")), key=len, default=None)
