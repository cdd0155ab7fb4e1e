"""Losses by name, and the weighted sum of several.

A loss is a function of the prediction and the target, both (N, C, H, W) around [0, 1]. It returns one number
as a tensor; lower is better. `@register` makes its name known to recipes. A module of this folder is found,
and so is one of another package that names it as an entry point of the group `paddle_restore.losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import paddle

from paddle_restore.errors import UserError
from paddle_restore.registry import Registry

Loss = Callable[[paddle.Tensor, paddle.Tensor], paddle.Tensor]

LOSSES: Registry[Loss] = Registry("loss", "paddle_restore.losses")


def register(loss: Loss) -> Loss:
    """Register a function as the loss of its name."""
    LOSSES.add(loss.__name__, loss)
    return loss


def _one_number(name: str, value: paddle.Tensor) -> paddle.Tensor:
    if value.size != 1:
        shape = list(value.shape)
        raise UserError(f"loss {name!r} returns the shape {shape}, and a loss is one number: take its mean")
    return value


def build_losses(
    weights: Mapping[str, float],
) -> Callable[[paddle.Tensor, paddle.Tensor], dict[str, paddle.Tensor]]:
    """Make one function of several losses, such as `{"l1": 1.0, "ms_ssim": 0.2}`.

    The function takes (pred, target) and returns each loss by name, unweighted, and the weighted sum as
    "loss". It computes in float32 under mixed precision too, because the variances of SSIM vanish in
    float16. Raises UserError for an unknown name and for no loss at all.
    """
    if not weights:
        raise UserError(f"no loss is given; choose from: {', '.join(LOSSES)}")
    functions = {name: LOSSES.find(name) for name in weights}

    def losses(pred: paddle.Tensor, target: paddle.Tensor) -> dict[str, paddle.Tensor]:
        with paddle.amp.auto_cast(enable=False):
            pred, target = pred.astype("float32"), target.astype("float32")
            values = {name: _one_number(name, function(pred, target)) for name, function in functions.items()}
            values["loss"] = sum(weight * values[name] for name, weight in weights.items())
        return values

    return losses
