"""What a published network brings: names in its checkpoints, golden values of its authors' code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from re import Match
from typing import Any, Optional, Union

import numpy as np

Weights = Mapping[str, np.ndarray]

Layout = Callable[[np.ndarray], Union[np.ndarray, dict[str, np.ndarray]]]
"""Changes an array's layout. A dict has several arrays by the suffixes of their names."""

Rule = tuple[Any, ...]
"""(pattern, replacement) or (pattern, replacement, Layout): see ForeignNames."""

Replacement = Union[str, Callable[[Match[str]], str], None]


@dataclass(frozen=True)
class ForeignNames:
    """How published checkpoints name the parameters of a network.

    rules  Each is (pattern, replacement) for `re.sub` on the foreign name; the first pattern that matches
           counts. The replacement None drops the parameter (constants, counters). Arrays keep PyTorch's
           layout, which is Paddle's for convolutions; a third member of a rule changes it.
    sizes  converted weights -> the factory's arguments, where checkpoints of several sizes exist.
           It may raise LookupError or ValueError for weights of another network.
    """

    rules: Sequence[Rule]
    sizes: Optional[Callable[[Weights], dict[str, Any]]] = None


@dataclass(frozen=True)
class TrainingCamera:
    """The camera of the raw files that published weights were trained on; multipliers of R, G, B.

    white_balance  under which a grey patch comes out grey
    daylight       of LibRaw's colour matrix, by which the camera's own files are told from others
    """

    white_balance: tuple[float, float, float]
    daylight: tuple[float, float, float]


# See-in-the-Dark's cameras. The Sony's `white_balance` was measured with Lamba's published weights; the
# Fuji's is the same light (3,800 K) by the colour matrices (docs/exposure.md). SID saw the same scenes.
SONY = TrainingCamera((2.1, 1.0, 2.0), (2.767, 1.0, 1.427))
FUJI = TrainingCamera((1.54, 1.0, 2.34), (2.293, 1.0, 1.612))


@dataclass(frozen=True)
class Golden:
    """Golden values that a network must reproduce, and what they were made with.

    name       key in models.json (or tf_models.json), and NAME.npz
    tag        input and target are procedural_input("TAG/input", ...) and ("TAG/gt", ...); default: `name`
    data       the preparation of its input, a key of `alignment.data.PREPARATIONS`
    metrics    the protocols of its published numbers
    args       the factory's arguments for the size of the golden values
    objective  as in a recipe; None where the golden values hold no training
    optimizer  `kind` of a recipe's optimizer section
    ones       endings of parameter names whose weights are 1 + the drawn value (scales of a normalisation)
    """

    name: str
    tag: str = ""
    data: Optional[str] = None
    metrics: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)
    objective: Optional[dict[str, Any]] = None
    optimizer: str = "adam"
    ones: tuple[str, ...] = ()
