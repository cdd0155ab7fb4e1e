"""Compare values with their thresholds, and write the files of Paddle's reproduction guide."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from paddle_restore.alignment.data import Values
from paddle_restore.data.files import atomic_path
from paddle_restore.errors import UserError

THRESHOLDS = {"data": 1e-5, "metric": 1e-4, "forward": 1e-4, "loss": 1e-4, "backward": 1e-3, "train": 1e-3}
"""Largest difference allowed in each step, relative to the largest value of an array (float32)."""


class Row(NamedTuple):
    """One step of one network."""

    network: str
    step: str
    difference: float
    threshold: float
    passed: bool


def compare(network: str, step: str, ours: Values, reference: Values) -> Row:
    """Return the largest difference of a step with its threshold."""
    largest = max(differences(ours, reference).values(), default=math.inf)
    return Row(network, step, largest, THRESHOLDS[step], largest <= THRESHOLDS[step])


def differences(ours: Values, reference: Values) -> dict[str, float]:
    """Return each array's largest difference, relative to the reference's largest value.

    It is infinite where one side lacks the array, has another shape, or holds NaN or infinity.
    """
    return {name: _difference(ours.get(name), reference.get(name)) for name in {**ours, **reference}}


def _difference(ours: Optional[np.ndarray], reference: Optional[np.ndarray]) -> float:
    if ours is None or reference is None or ours.shape != reference.shape:
        return math.inf
    scale = max(float(np.abs(reference).max()), 1e-12)
    difference = float(np.abs(ours.astype(np.float64) - reference).max()) / scale
    return difference if math.isfinite(difference) else math.inf


def import_reprod_log() -> Any:
    """Return the module. Raises UserError where it is not installed."""
    try:
        import reprod_log
    except ImportError:
        raise UserError(
            "align needs reprod_log, which is not installed; pip install 'paddle_restore[align]'"
        ) from None
    return reprod_log


def write(folder: Path, step: str, ours: Values, reference: Values) -> None:
    """Write STEP_paddle.npy, STEP_ref.npy (the values) and STEP_diff.log into `folder`."""
    reprod_log = import_reprod_log()
    for side, values in (("paddle", ours), ("ref", reference)):
        logger = reprod_log.ReprodLogger()
        for name, array in values.items():
            logger.add(name, array)
        with atomic_path(folder / f"{step}_{side}.npy") as temporary:
            logger.save(str(temporary))
    # The helper compares absolutely, accepts NaN and transposes arrays whose shapes differ. So it gets the
    # relative differences, and zeros to compare them with.
    relative = {name: np.array([value]) for name, value in differences(ours, reference).items()}
    helper = reprod_log.ReprodDiffHelper()
    helper.compare_info(relative, {name: np.zeros(1) for name in relative})
    with atomic_path(folder / f"{step}_diff.log") as temporary, _root_logger_restored():
        helper.report(diff_method="max", diff_threshold=THRESHOLDS[step], path=str(temporary))


@contextlib.contextmanager
def _root_logger_restored() -> Iterator[None]:
    """Undo what the helper does to the root logger, and hide what it prints."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers = handlers
        root.setLevel(level)
