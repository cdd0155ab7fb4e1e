"""The kinds of dataset that a recipe can name in `data.kind`."""

from __future__ import annotations

from typing import Any, NamedTuple

from paddle_restore.data.noisy import NoisyEval, NoisyOptions, NoisyTrain
from paddle_restore.data.pairs import PairsEval, PairsOptions, PairsTrain
from paddle_restore.data.photographs import PhotographsEval, PhotographsOptions, PhotographsTrain
from paddle_restore.data.raw_pairs import RawPairsEval, RawPairsOptions, RawPairsTrain
from paddle_restore.data.sid import SIDEval, SIDOptions, SIDTrain
from paddle_restore.options import Options


class DatasetKind(NamedTuple):
    options: type[Options]
    train: Any
    eval: Any


DATASETS = {
    "sid": DatasetKind(SIDOptions, SIDTrain, SIDEval),
    "pairs": DatasetKind(PairsOptions, PairsTrain, PairsEval),
    "noisy": DatasetKind(NoisyOptions, NoisyTrain, NoisyEval),
    "photographs": DatasetKind(PhotographsOptions, PhotographsTrain, PhotographsEval),
    "raw_pairs": DatasetKind(RawPairsOptions, RawPairsTrain, RawPairsEval),
}
