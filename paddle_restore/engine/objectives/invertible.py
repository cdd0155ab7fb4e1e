"""Both passes of an invertible network (Liu et al., "Invertible Denoising Network", CVPR 2021, Eq. 4, 5)."""

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


class InvertibleOptions(ObjectiveOptions):
    kind: Literal["invertible"] = "invertible"
    forward: LossWeights = Field(
        {"l2_sum": 16.0}, description="low-resolution channels of the latent against lq"
    )
    backward: LossWeights = Field({"l1_sum": 1.0}, description="decoded with fresh noise, against the target")


class Invertible:
    """Losses of the encoded picture and of the decoded one.

    The network has `encode`, from a picture to a latent whose first channels are the picture in low
    resolution, and its inverse `decode`. The batch has `lq`, the low-resolution target, and `noise` for
    the latent's other channels.
    """

    def __init__(self, options: InvertibleOptions):
        self.forward, self.backward = build_losses(options.forward), build_losses(options.backward)

    def __call__(self, model: paddle.nn.Layer, batch: dict[str, Any]) -> Losses:
        if not hasattr(model, "encode"):
            raise UserError(f"objective.kind: {model.spec.id} is not invertible; use kind supervised")
        if "lq" not in batch:
            raise UserError("objective.kind: invertible needs low-resolution targets; set data.lq=4")
        low = model.encode(batch["input"])[:, : batch["lq"].shape[1]]
        restored = model.decode(paddle.concat([low, batch["noise"]], axis=1))
        forward = self.forward(low, batch["lq"])["loss"]
        backward = self.backward(restored, batch["target"])["loss"]
        return {"forward": forward, "backward": backward, "loss": forward + backward}


OBJECTIVES.add("invertible", ObjectiveKind(InvertibleOptions, Invertible))
