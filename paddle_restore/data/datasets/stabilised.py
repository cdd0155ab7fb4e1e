"""Stabilised noisy and clean raw planes made from a folder of clean photographs (`synthetic/raw_frames.py`).

ROOT/train/*.png   ROOT/val/*.png      (tools/fetch_photographs.py)
"""

from __future__ import annotations

from typing import Literal, Optional

import numpy as np
from pydantic import Field

from paddle_restore.data.datasets import DATASETS, MAX_CROP, DatasetKind, Sample
from paddle_restore.data.datasets.photographs import (
    WindowsEval,
    WindowsOptions,
    WindowsTrain,
)
from paddle_restore.data.synthetic.camera import draw_development
from paddle_restore.data.synthetic.raw_frames import (
    developer,
    draw_frame,
    frame_side,
    stabilised_pair,
    take_frame,
)
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec

_EVAL_SEED = 18


class StabilisedOptions(WindowsOptions):
    """`data:` of a recipe whose `kind` is `stabilised`."""

    kind: Literal["stabilised"] = "stabilised"
    misjudged: float = Field(0.5, ge=0, le=1, description="share whose noise is told wrong, by about a tenth")
    eval_crop: int = Field(128, gt=0, le=MAX_CROP, description="side of an evaluation patch in packed pixels")


class StabilisedTrain(WindowsTrain):
    """Patches of random photographs, each taken by its own camera."""

    def __init__(self, options: StabilisedOptions, spec: ModelSpec, crop: Optional[int] = None):
        _check(spec)
        super().__init__(options, crop)
        self.misjudged = options.misjudged

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return input and target, (4, crop, crop) float32, noise of the input about 1, black 0."""
        frame = draw_frame(draw_development(rng), rng)
        window = self.photographs.window(frame_side(self.crop, frame), rng)
        noisy, clean = take_frame(window, self.crop, frame, rng)
        wrong = rng.normal(0, 0.1, 2) if rng.random() < self.misjudged else np.zeros(2)
        told = np.exp(wrong) * (frame.exposure.gain, frame.exposure.variance)
        noisy, clean = stabilised_pair(noisy, clean, *told.tolist())
        return {"input": noisy, "target": clean, "name": str(index)}


class StabilisedEval(WindowsEval):
    """Fixed patches of the held-out photographs, each with a camera that its index draws."""

    def __init__(self, options: StabilisedOptions, spec: ModelSpec):
        _check(spec)
        super().__init__(options)

    def sample(self, index: int) -> Sample:
        """Return input and target, (4, eval_crop, eval_crop) float32, and how to make pictures of them."""
        rng = np.random.default_rng([_EVAL_SEED, index])
        frame = draw_frame(draw_development(rng), rng)
        window = self.window(index, frame_side(self.size, frame), rng)
        noisy, clean = take_frame(window, self.size, frame, rng)
        develop = developer(frame, clean)
        noisy, clean = stabilised_pair(noisy, clean, frame.exposure.gain, frame.exposure.variance)
        return {"input": noisy, "target": clean, "name": f"{index:04d}", "develop": develop}


def _check(spec: ModelSpec) -> None:
    if spec.output != "mosaic":
        raise UserError(
            f"data.kind stabilised: {spec.id} does not restore mosaics; use denoise_raw or another data.kind"
        )


DATASETS.add("stabilised", DatasetKind(StabilisedOptions, StabilisedTrain, StabilisedEval))
