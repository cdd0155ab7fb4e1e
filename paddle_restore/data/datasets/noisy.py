"""Noisy pictures alone, for self-supervised objectives (`engine/objectives/neighbor2neighbor.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

import numpy as np
from pydantic import Field

from paddle_restore.data.datasets import DATASETS, MAX_CROP, DatasetKind, DatasetOptions, Sample
from paddle_restore.data.datasets.pairs import PairsEval, PairsOptions
from paddle_restore.data.files import list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import read_image
from paddle_restore.data.pixels import random_flips, random_window, to_float
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec


class NoisyOptions(DatasetOptions):
    """`data:` of a recipe whose `kind` is `noisy`."""

    kind: Literal["noisy"] = "noisy"
    root: Path = Field(description="folder of the sub-folders below")
    train_folder: Path = Field(Path("noisy"), description="noisy pictures; no clean ones are needed")
    eval_folder: Optional[Path] = Field(
        None, description="pairs to measure on, as data.kind pairs has them; without, the noisy pictures"
    )
    crop: int = Field(128, gt=0, le=MAX_CROP, description="side of a training sample in pixels")
    repeat: int = Field(1, gt=0, description="crops of each picture in an epoch")


class NoisyTrain:
    """Random crops; input and target are the same."""

    def __init__(self, options: NoisyOptions, spec: ModelSpec, crop: Optional[int] = None):
        if spec.raw:
            raise UserError(f"data.kind noisy: {spec.id} reads raw files, not pictures; change data.kind")
        self.options, self.crop = options, crop or options.crop
        self.files = list_files(options.root / options.train_folder, is_picture, "pictures")

    def __len__(self) -> int:
        return len(self.files) * self.options.repeat

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return input and target, (3, crop, crop) float32 in [0, 1]."""
        path = self.files[index % len(self.files)]
        picture = read_image(path)
        height, width = picture.shape[:2]
        top, left = random_window(height, width, self.crop, rng, str(path))
        crop = picture[top : top + self.crop, left : left + self.crop].transpose(2, 0, 1)
        (crop,) = random_flips(rng, crop, odds=(0.5, 0.5, 0.5))
        values = np.ascontiguousarray(to_float(crop))
        return {"input": values, "target": values, "name": path.stem}


class NoisyEval:
    """Pairs where there are some; else the noisy pictures, which are compared with themselves."""

    def __init__(self, options: NoisyOptions, spec: ModelSpec):
        self.pairs = None
        if options.eval_folder is not None:
            pairs = PairsOptions(root=options.root, eval_folder=options.eval_folder)
            self.pairs = PairsEval(pairs, spec)
        self.files = list_files(options.root / options.train_folder, is_picture, "pictures")
        self.note = "" if self.pairs else "no clean pictures: the numbers say how much is taken away"

    def __len__(self) -> int:
        return len(self.pairs or self.files)

    def sample(self, index: int) -> Sample:
        """Return input and target, (3, H, W) float32 in [0, 1]."""
        if self.pairs:
            return self.pairs.sample(index)
        picture = np.ascontiguousarray(to_float(read_image(self.files[index]).transpose(2, 0, 1)))
        return {"input": picture, "target": picture, "name": self.files[index].stem}


DATASETS.add("noisy", DatasetKind(NoisyOptions, NoisyTrain, NoisyEval))
