"""Objectives: (model, batch) -> named losses, one of them `loss`. The trainer knows no other difference."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from paddle_restore.errors import did_you_mean
from paddle_restore.losses import LOSSES, build_losses
from paddle_restore.options import Options


class SupervisedOptions(Options):
    """A weighted sum of losses between the network's output and the target."""

    kind: Literal["supervised"] = "supervised"
    losses: dict[str, float] = Field({"l1": 1.0}, min_length=1, description="name: weight")

    @field_validator("losses")
    @classmethod
    def _known(cls, losses: dict[str, float]) -> dict[str, float]:
        for name in losses:
            if name not in LOSSES:
                raise ValueError(f"unknown loss {name!r}{did_you_mean(name, LOSSES)}")
        return losses


class Supervised:
    def __init__(self, options: SupervisedOptions):
        self.losses = build_losses(options.losses)

    def __call__(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        return self.losses(model(batch["input"]), batch["target"])


OBJECTIVES = {"supervised": SupervisedOptions}


def build_objective(options: Options) -> Any:
    return {SupervisedOptions: Supervised}[type(options)](options)
