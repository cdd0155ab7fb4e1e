"""Checkpoints: folders that appear whole or not at all.

They hold model.pdparams, model.pdopt (with the loss scaler), state.json and, where the weights are
averaged, model_ema.pdparams.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import paddle

from paddle_restore.data.files import make_folder
from paddle_restore.engine.step import Step
from paddle_restore.errors import UserError
from paddle_restore.weights import load_into, load_pdparams, load_pickle

WEIGHTS, AVERAGE, OPTIMIZER, STATE = "model.pdparams", "model_ema.pdparams", "model.pdopt", "state.json"


def save_checkpoint(folder: Path, step: Step, state: dict[str, Any]) -> None:
    """Write a checkpoint. `state` is plain data: iteration, epoch, best.

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
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if not (isinstance(state["iteration"], int) and (state["best"] is None or "score" in state["best"])):
            raise ValueError("not what a run writes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / STATE}: is no state to resume from ({error!r})") from None
    load_into(step.model, load_pdparams(folder / WEIGHTS), source=folder / WEIGHTS)
    if step.ema:
        average = folder / AVERAGE if (folder / AVERAGE).is_file() else folder / WEIGHTS
        step.ema.load(load_pdparams(average), source=average)
    states = load_pickle(folder / OPTIMIZER)
    if not isinstance(states, dict) or not isinstance(states.get("optimizer"), dict):
        raise UserError(f"{folder / OPTIMIZER}: holds no optimiser state; resume from another checkpoint")
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


def _rename(states: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Replace the parameter's name at the head of every key: `NAME_moment1_0`."""
    renamed = {}
    for key, value in states.items():
        if isinstance(value, dict) and key == "master_weights":
            renamed[key] = {names.get(name, name): array for name, array in value.items()}
            continue
        head = max(
            (name for name in names if key == name or key.startswith(name + "_")), key=len, default=None
        )
        renamed[key if head is None else names[head] + key[len(head) :]] = value
    return renamed
