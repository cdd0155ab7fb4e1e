"""Checkpoints: folders with model.pdparams, model.pdopt and state.json that appear whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import paddle

from paddle_restore.data.files import make_folder
from paddle_restore.errors import UserError
from paddle_restore.weights import load_into, load_pdparams, load_pickle

WEIGHTS, OPTIMIZER, STATE = "model.pdparams", "model.pdopt", "state.json"


def save_checkpoint(folder: Path, model: Any, optimizer: Any, scaler: Any, state: dict[str, Any]) -> None:
    """Write a checkpoint. `state` is plain data: iteration, epoch, best."""
    temporary, old = _beside(folder, "new"), _beside(folder, "old")
    make_folder(folder.parent)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        paddle.save(model.state_dict(), str(temporary / WEIGHTS))
        states = {"optimizer": _by_structure(optimizer.state_dict(), model), "scaler": scaler.state_dict()}
        paddle.save(states, str(temporary / OPTIMIZER))
        (temporary / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
        # Between the two renames a kill leaves the former checkpoint whole under its `old` name,
        # where find_checkpoint looks too.
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: checkpoint not written ({error.strerror or error}); the last one stays"
        ) from None
    shutil.rmtree(old, ignore_errors=True)


def find_checkpoint(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run folder, or None."""
    latest = run / "latest"
    return next((folder for folder in (latest, _beside(latest, "old")) if (folder / STATE).is_file()), None)


def load_checkpoint(folder: Path, model: Any, optimizer: Any, scaler: Any) -> dict[str, Any]:
    """Restore model, optimiser and loss scaler; return the state. Raises UserError if it does not fit."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if not (isinstance(state["iteration"], int) and (state["best"] is None or "score" in state["best"])):
            raise ValueError("not what a run writes")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / STATE}: is no state to resume from ({error!r})") from None
    load_into(model, load_pdparams(folder / WEIGHTS), source=folder / WEIGHTS)
    states = load_pickle(folder / OPTIMIZER)
    if not isinstance(states, dict) or not isinstance(states.get("optimizer"), dict):
        raise UserError(f"{folder / OPTIMIZER}: holds no optimiser state; resume from another checkpoint")
    optimizer.set_state_dict(_by_name(states["optimizer"], model))
    if scaler.is_enable():
        scaler.load_state_dict(states["scaler"])
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
