"""A run's folder: what it goes on from, and what it must not write over."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Optional

import yaml

from paddle_restore.data.files import atomic_path, make_folder
from paddle_restore.engine.checkpoint import STATE, find_checkpoint
from paddle_restore.engine.config import Config
from paddle_restore.engine.logging import BOARD, METRICS, NONFINITE
from paddle_restore.errors import UserError

RECIPE = "config.yml"
# What a resumed run must have in common with the interrupted one for its weights to make sense.
_FIXED = ("model.", "seed", "optimizer.kind", "objective.kind", "data.kind")


def choose_checkpoint(folder: Path, resume: Optional[str], overwrite: bool) -> Optional[Path]:
    """Return the checkpoint that a run goes on from, if any.

    `resume` is None, "auto" (go on if there is something to go on from) or a checkpoint or run
    folder. Raises UserError rather than let a run write over another.
    """
    there = find_checkpoint(folder)
    if resume and resume != "auto":
        given = Path(resume)
        checkpoint = given if (given / STATE).is_file() else find_checkpoint(given)
        if checkpoint is None:
            raise UserError(f"{given}: holds no checkpoint to resume from")
    else:
        checkpoint = there if resume else None
    own = checkpoint and checkpoint.parent.resolve() == folder.resolve()
    if there and not own and not overwrite:
        raise UserError(
            f"{folder}: holds a run already; go on with --resume auto, start anew with --overwrite, "
            "or choose another --output_dir"
        )
    return checkpoint


def empty_folder(folder: Path) -> None:
    """Remove what a former run wrote, and nothing else that may lie there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        whole = path.name.lstrip(".").split(".")[0]
        if path.name in (RECIPE, "train.log", METRICS, NONFINITE):
            path.unlink()
        elif path.is_dir() and (whole in ("latest", "best_model", BOARD) or whole.startswith("iter_")):
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
