"""What a training survives: samples that cannot be read, and numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from paddle_restore.engine import distributed
from paddle_restore.engine.config import TrainOptions
from paddle_restore.engine.logging import NONFINITE, RunLog
from paddle_restore.engine.plan import Plan
from paddle_restore.engine.step import GRADIENT
from paddle_restore.errors import UserError

MOST_IN_A_ROW = 100
"""So many batches in a row without a finite loss and gradient, and skipping them helps no more."""


class Faults:
    """Counts and names them. The counts are part of the run's state, so a resumed run goes on counting.

    The methods are called on all processes alike, and all of them raise together.
    """

    def __init__(self, options: TrainOptions, log: RunLog, plan: Plan, state: dict[str, Any]):
        self.options, self.log, self.plan, self.state = options, log, plan, state

    def unreadable(self, lines: list[str], save: Callable[[], Any]) -> None:
        """Note what each process could not read. Above `max_unreadable`, save and raise UserError."""
        seen, most = self.state["unreadable"], self.options.max_unreadable
        for line in distributed.gather(lines, self.plan.world):
            seen[line] = seen.get(line, 0) + 1
            if seen[line] == 1:
                self.log.text(f"unreadable, another sample takes its place ({len(seen)} of {most}): {line}")
        if len(seen) > most:
            save()
            raise UserError(
                f"{len(seen)} training samples cannot be read, the last is {line}; "
                "mend or remove the files, or raise train.max_unreadable"
            )

    def nonfinite(self, iteration: int, values: dict[str, float], names: list[str], where: str) -> None:
        """Note a batch that left the weights as they are. Raises UserError unless it is to be skipped.

        `values` are the losses, `names` this process's samples and `where` says how to go on.
        """
        names = distributed.gather(names, self.plan.world)
        counts = self.state["nonfinite"]
        counts["count"] += 1
        counts["in_a_row"] += 1
        self.log.record(NONFINITE, iteration, losses={k: str(v) for k, v in values.items()}, samples=names)
        what = "gradient" if math.isfinite(values["loss"]) else "loss"
        losses = ", ".join(f"{name} {value:g}" for name, value in values.items() if name != GRADIENT)
        place = f"{iteration}/{self.plan.iterations}"
        text = f"non-finite {what} at iteration {place} ({losses}; samples {', '.join(names)})"
        if self.options.on_nonfinite == "skip" and counts["in_a_row"] < MOST_IN_A_ROW:
            self.log.text(f"{text}: skipped, {counts['count']} so far")
            return
        row = f", {counts['in_a_row']} in a row" if counts["in_a_row"] > 1 else ""
        raise UserError(f"{text}{row}; training stopped, {where}; lower optimizer.lr or check the data")

    def finite(self) -> None:
        """Note a batch that was learned from."""
        self.state["nonfinite"]["in_a_row"] = 0
