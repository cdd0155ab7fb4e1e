"""Objectives: what a training minimises, by the name that a recipe gives in `objective.kind`.

A module of this folder, or of the entry point group `paddle_restore.engine.objectives`, adds its own:

    OBJECTIVES.add("supervised", ObjectiveKind(SupervisedOptions, Supervised))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol

import paddle
from pydantic import AfterValidator, Field

from paddle_restore.errors import did_you_mean
from paddle_restore.losses import LOSSES
from paddle_restore.options import Options
from paddle_restore.registry import Registry

Losses = dict[str, paddle.Tensor]
"""Named losses, each a tensor of one number. `loss` is minimised, the others are only logged."""


class Objective(Protocol):
    def __call__(self, model: paddle.nn.Layer, batch: dict[str, Any]) -> Losses:
        """Return the losses of a batch: stacked samples, such as `input` (N, C, h, w) and `target`."""
        ...


class ObjectiveOptions(Options):
    """Base of an objective's options, which are the section `objective:` of a recipe."""

    kind: str


class ObjectiveKind(NamedTuple):
    """The options of an objective, and the function that builds it from them."""

    options: type[ObjectiveOptions]
    build: Callable[[Any], Objective]


OBJECTIVES: Registry[ObjectiveKind] = Registry("objective", "paddle_restore.engine.objectives")


def build_objective(options: ObjectiveOptions) -> Objective:
    """Build the objective of a recipe's section `objective:`."""
    return OBJECTIVES.find(options.kind).build(options)


def _check_names(weights: dict[str, float]) -> dict[str, float]:
    for name in weights:
        if name not in LOSSES:
            raise ValueError(f"unknown loss {name!r}{did_you_mean(name, LOSSES)}")
    return weights


LossWeights = Annotated[dict[str, float], Field(min_length=1), AfterValidator(_check_names)]
"""A recipe's losses of `paddle_restore.losses`: {name: weight}."""
