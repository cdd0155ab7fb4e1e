"""The See-in-the-Dark data set: short and long exposures of the same scene as raw files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

from pydantic import Field

from paddle_restore.data.datasets import DATASETS, DatasetKind
from paddle_restore.data.exposures import ExposureOptions, ExposuresEval, ExposuresTrain, RawPair
from paddle_restore.data.matching import SID_SPLITS, SIDPair, read_list
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec


class SIDOptions(ExposureOptions):
    """`data:` of a recipe whose `kind` is `sid`."""

    kind: Literal["sid"] = "sid"
    burst: Literal["first", "all"] = Field(
        "first", description="short frames to train on: the first of each exposure, as the authors do, or all"
    )
    eval_burst: Literal["first", "all"] = Field(
        "first",
        description="short frames to evaluate on: the first of each exposure, as in SID's published numbers, "
        "or all",
    )
    exclude: tuple[str, ...] = Field(
        ("10034", "10045", "10172"), description="misaligned scenes, excluded from quantitative evaluation"
    )


class SIDTrain(ExposuresTrain):
    """Training samples: an epoch visits every scene, with a random short exposure, or every short file."""

    def __init__(self, options: SIDOptions, spec: ModelSpec, crop: Optional[int] = None):
        path = options.root / options.train_list
        pairs = read_list(options.root, options.train_list, shorts=options.noise is None)
        test_scenes = sorted({pair.scene for pair in pairs if SID_SPLITS[pair.scene[0]] == "test"})
        if test_scenes:
            raise UserError(
                f"{path}: names test scenes (their ids begin with 1): {', '.join(test_scenes[:3])}; "
                "training on them would spoil the evaluation"
            )
        pairs = _chosen(pairs, options.burst, path, "data.burst")
        super().__init__(options, spec, _raw_pairs(pairs, options), crop)


class SIDEval(ExposuresEval):
    """Whole frames of the evaluation list, with the amplified input as the baseline."""

    def __init__(self, options: SIDOptions, spec: ModelSpec):
        listed = read_list(options.root, options.eval_list)
        path = options.root / options.eval_list
        pairs = _chosen(listed, options.eval_burst, path, "data.eval_burst")[: options.limit]
        super().__init__(options, spec, _raw_pairs(pairs, options))
        frames = "first frames" if options.eval_burst == "first" else "all frames"
        self.note = (
            f"{frames} (data.eval_burst={options.eval_burst}): {len(pairs)} of the list's {len(listed)} pairs"
        )
        excluded = sorted({pair.scene for pair in pairs} & set(options.exclude))
        if excluded:
            self.note += f"; left out of the means as misaligned: {', '.join(excluded)}"


def _chosen(pairs: list[SIDPair], burst: str, path: Path, key: str) -> list[SIDPair]:
    """Return the pairs of the first short frame of each exposure, `00` in the file's name, or all pairs."""
    if burst == "first":
        pairs = [pair for pair in pairs if pair.frame == "00"]
    if not pairs:
        raise UserError(f"{path}: no first frames (_00_); set {key}=all")
    return pairs


def _raw_pairs(pairs: list[SIDPair], options: SIDOptions) -> list[RawPair]:
    return [
        RawPair(
            pair.short,
            pair.long,
            pair.ratio(options.max_ratio),
            pair.group,
            counted=pair.scene not in options.exclude,
            picture=f"{pair.scene}_{pair.frame}_{int(pair.ratio(options.max_ratio))}",
        )
        for pair in pairs
    ]


DATASETS.add("sid", DatasetKind(SIDOptions, SIDTrain, SIDEval))
