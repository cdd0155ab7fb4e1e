"""Kinds of dataset: what `data.kind` of a recipe can name.

A module of this folder, or of the entry point group `paddle_restore.data.datasets`, adds its kind:

    DATASETS.add("pairs", DatasetKind(PairsOptions, PairsTrain, PairsEval))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from paddle_restore.options import Options
from paddle_restore.registry import Registry

MAX_CROP = 65_536
"""Largest side of a training sample."""

Sample = dict[str, Any]
"""float32 arrays `input` (C, h, w) and `target` (3, H, W) in [0, 1], `name`, and what the kind adds.

For a network that restores mosaics both are stabilised planes (`data/stabilise.py`)."""


class TrainDataset(Protocol):
    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return a crop; `rng` makes every random choice. Raises UserError for a file it cannot read."""
        ...


class EvalDataset(Protocol):
    note: str
    """A line that the report ends with; "" for none."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample:
        """Return a whole picture.

        A kind may add `baseline`, a picture (3, H, W) that is scored beside the network's (default:
        `input`); `picture`, the name of written pictures (default: `name`); `group`, under which the
        report lists the scores; `counted`, False to leave the picture out of the means; `develop`, a
        function from stabilised planes to a picture (3, H, W), without which a network that restores mosaics
        cannot be scored.
        """
        ...


class DatasetOptions(Options):
    """Base of a kind's options, which are the section `data:` of a recipe."""

    kind: str
    crop: int = Field(gt=0, le=MAX_CROP, description="side of a training sample in input pixels")


class DatasetKind(NamedTuple):
    """options: the keys of `data:`; the default of `kind` is the registered name.

    train: called with (options, spec, crop), where `crop` None means `options.crop`.
    eval: called with (options, spec). `spec` is the network's ModelSpec.
    """

    options: type[DatasetOptions]
    train: Callable[..., TrainDataset]
    eval: Callable[..., EvalDataset]


DATASETS: Registry[DatasetKind] = Registry("dataset kind", "paddle_restore.data.datasets")
