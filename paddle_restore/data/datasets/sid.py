"""The See-in-the-Dark data set: short and long exposures of the same scene as raw files."""

from __future__ import annotations

from typing import Literal, Optional

from pydantic import Field

from paddle_restore.data.datasets import DATASETS, DatasetKind
from paddle_restore.data.exposures import ExposureOptions, ExposuresEval, ExposuresTrain, RawPair
from paddle_restore.data.matching import SID_SPLITS, SIDPair, parse_name, read_list
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec


class SIDOptions(ExposureOptions):
    """`data:` of a recipe whose `kind` is `sid`."""

    kind: Literal["sid"] = "sid"
    burst: Literal["first", "all"] = Field(
        "first", description="short frames to train on: the first of each exposure, as the authors do, or all"
    )
    exclude: tuple[str, ...] = Field(
        ("10034", "10045", "10172"), description="misaligned scenes, excluded from quantitative evaluation"
    )


class SIDTrain(ExposuresTrain):
    """Training samples: an epoch visits every scene once, with a random short exposure."""

    def __init__(self, options: SIDOptions, spec: ModelSpec, crop: Optional[int] = None):
        path = options.root / options.train_list
        pairs = read_list(options.root, options.train_list, shorts=options.noise is None)
        test_scenes = sorted({pair.scene for pair in pairs if SID_SPLITS[pair.scene[0]] == "test"})
        if test_scenes:
            raise UserError(
                f"{path}: names test scenes (their ids begin with 1): {', '.join(test_scenes[:3])}; "
                "training on them would spoil the evaluation"
            )
        if options.burst == "first":
            pairs = [pair for pair in pairs if parse_name(pair.short)["frame"] == "00"]
        if not pairs:
            raise UserError(f"{path}: no first frames (_00_); set data.burst=all")
        super().__init__(options, spec, _raw_pairs(pairs, options), crop)


class SIDEval(ExposuresEval):
    """Whole frames of the evaluation list, with the amplified input as the baseline."""

    def __init__(self, options: SIDOptions, spec: ModelSpec):
        pairs = read_list(options.root, options.eval_list)[: options.limit]
        super().__init__(options, spec, _raw_pairs(pairs, options))
        excluded = sorted({pair.scene for pair in pairs} & set(options.exclude))
        self.note = f"left out of the means as misaligned: {', '.join(excluded)}" if excluded else ""


def _raw_pairs(pairs: list[SIDPair], options: SIDOptions) -> list[RawPair]:
    return [
        RawPair(
            pair.short,
            pair.long,
            pair.ratio(options.max_ratio),
            pair.group,
            counted=pair.scene not in options.exclude,
        )
        for pair in pairs
    ]


DATASETS.add("sid", DatasetKind(SIDOptions, SIDTrain, SIDEval))
