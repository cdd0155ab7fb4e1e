"""Objectives: (model, batch) -> named losses, one of them `loss`. The trainer knows no other difference."""

from __future__ import annotations

from typing import Any, Literal

import paddle
from pydantic import Field, field_validator

from paddle_restore.engine.self_supervised import Neighbor2Neighbor, Neighbor2NeighborOptions
from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.losses import LOSSES, build_losses
from paddle_restore.options import Options

Losses = dict[str, float]


def _known(losses: Losses) -> Losses:
    for name in losses:
        if name not in LOSSES:
            raise ValueError(f"unknown loss {name!r}{did_you_mean(name, LOSSES)}")
    return losses


class SupervisedOptions(Options):
    """A weighted sum of losses between the network's output and the target."""

    kind: Literal["supervised"] = "supervised"
    losses: Losses = Field({"l1": 1.0}, min_length=1, description="name: weight")

    _check = field_validator("losses")(_known)


class InvertibleOptions(Options):
    """Both passes of an invertible network (Liu et al., CVPR 2021, Eq. 4 and 5)."""

    kind: Literal["invertible"] = "invertible"
    forward: Losses = Field(
        {"l2_sum": 16.0}, min_length=1, description="low-resolution channels of the latent against lq"
    )
    backward: Losses = Field(
        {"l1_sum": 1.0}, min_length=1, description="decoded with fresh noise, against the target"
    )

    _check = field_validator("forward", "backward")(_known)


class Supervised:
    def __init__(self, options: SupervisedOptions):
        self.losses = build_losses(options.losses)

    def __call__(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        return self.losses(model(batch["input"]), batch["target"])


class Invertible:
    """The network has `encode` (picture -> latent, low resolution first) and `decode`, its inverse."""

    def __init__(self, options: InvertibleOptions):
        self.forward, self.backward = build_losses(options.forward), build_losses(options.backward)

    def __call__(self, model: Any, batch: dict[str, Any]) -> dict[str, Any]:
        if not hasattr(model, "encode"):
            raise UserError(f"objective.kind: {model.spec.id} is not invertible; use kind supervised")
        if "lq" not in batch:
            raise UserError("objective.kind: invertible needs low-resolution targets; set data.lq=4")
        low = model.encode(batch["input"])[:, : batch["lq"].shape[1]]
        restored = model.decode(paddle.concat([low, batch["noise"]], axis=1))
        forward = self.forward(low, batch["lq"])["loss"]
        backward = self.backward(restored, batch["target"])["loss"]
        return {"forward": forward, "backward": backward, "loss": forward + backward}


_KINDS = {
    "supervised": (SupervisedOptions, Supervised),
    "invertible": (InvertibleOptions, Invertible),
    "neighbor2neighbor": (Neighbor2NeighborOptions, Neighbor2Neighbor),
}
OBJECTIVES = {kind: options for kind, (options, _) in _KINDS.items()}


def build_objective(options: Any) -> Any:
    return _KINDS[options.kind][1](options)
