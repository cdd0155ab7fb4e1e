"""Losses between the network's output and the target."""

from __future__ import annotations

from typing import Any, Literal

import paddle
from pydantic import Field

from paddle_restore.engine.objectives import (
    OBJECTIVES,
    Losses,
    LossWeights,
    ObjectiveKind,
    ObjectiveOptions,
)
from paddle_restore.errors import UserError
from paddle_restore.losses import build_losses


class SupervisedOptions(ObjectiveOptions):
    kind: Literal["supervised"] = "supervised"
    losses: LossWeights = Field({"l1": 1.0}, description="name: weight")


class Supervised:
    """A weighted sum of losses between the network's output and the target."""

    def __init__(self, options: SupervisedOptions):
        self.losses = build_losses(options.losses)

    def __call__(self, model: paddle.nn.Layer, batch: dict[str, Any]) -> Losses:
        if "target" not in batch:
            raise UserError("objective.kind: supervised needs targets, and this data.kind has none")
        return self.losses(model(batch["input"]), batch["target"])


OBJECTIVES.add("supervised", ObjectiveKind(SupervisedOptions, Supervised))
