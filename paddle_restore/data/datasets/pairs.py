"""Folders of noisy and clean pictures, matched by name.

    ROOT/train/input  ROOT/train/groundtruth      or      ROOT/train/Noisy  ROOT/train/GT  [LQ]
    ROOT/val/...

The two folders may also be noisy and clean, lq and gt, or input and target.

LQ holds the clean pictures shrunk by MATLAB's imresize, which InvDN trains on (Liu et al., CVPR 2021).
Without that folder they are computed for each sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

import numpy as np
from pydantic import Field

from paddle_restore.arithmetic import ceil_div
from paddle_restore.data.datasets import DATASETS, MAX_CROP, DatasetKind, DatasetOptions, Sample
from paddle_restore.data.image import read_image, to_float
from paddle_restore.data.matching import PicturePair, match_pairs, read_pair, size_text, split_pairs
from paddle_restore.data.pixels import random_flips, random_window
from paddle_restore.data.resize import shrink
from paddle_restore.errors import UserError, listed
from paddle_restore.models.spec import ModelSpec

_KERNEL_RADIUS = 3
"""Low-resolution pixels beyond a window that the bicubic kernel of down-sampling reads."""


class PairsOptions(DatasetOptions):
    """`data:` of a recipe whose `kind` is `pairs`."""

    kind: Literal["pairs"] = "pairs"
    root: Path = Field(description="folder of the two sub-folders below")
    train_folder: Path = Field(
        Path("train"),
        description="holds input and groundtruth (or Noisy, GT; noisy, clean; lq, gt; input, target)",
    )
    eval_folder: Path = Field(Path("val"), description="holds the same two folders")
    val_fraction: Optional[float] = Field(
        None, gt=0, lt=1, description="evaluate on this share of train_folder, which is not trained on"
    )
    crop: int = Field(128, gt=0, le=MAX_CROP, description="side of a training sample in pixels")
    augment: bool = Field(True, description="flips and quarter turns, each of the eight equally often")
    lq: Optional[int] = Field(
        None, gt=1, description="also give the target shrunk by this factor, from LQ/ or computed"
    )
    limit: Optional[int] = Field(None, gt=0, description="number of pairs to use; default: all")


class PairsTrain:
    """Random crops; an epoch visits every pair once."""

    def __init__(self, options: PairsOptions, spec: ModelSpec, crop: Optional[int] = None):
        _check_input(spec)
        self.options = options
        self.crop = crop or options.crop
        if options.lq and self.crop % options.lq:
            raise UserError(f"data.crop: {self.crop} is not divisible by data.lq ({options.lq})")
        self.pairs = _pairs(options, train=True)
        small = [
            f"{pair.noisy} {size_text(pair.size)}"
            for pair in self.pairs
            if pair.size and min(pair.size) < self.crop
        ]
        if small:
            raise UserError(f"smaller than the crop of {self.crop}: {listed(small)}; lower data.crop")

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return input and target (3, crop, crop); lq (3, crop/n, crop/n) if `lq` is set; [0, 1]."""
        pair = self.pairs[index]
        noisy, clean = read_pair(pair.noisy, pair.clean)
        # With a low-resolution target the window starts on whole pixels of it.
        step = self.options.lq or 1
        size = self.crop // step
        rows, columns = (side // step for side in clean.shape[:2])
        top, left = random_window(rows, columns, size, rng, str(pair.noisy))
        window = np.s_[top * step : (top + size) * step, left * step : (left + size) * step]
        arrays = [noisy[window], clean[window]]
        if self.options.lq:
            arrays.append(_low_resolution(pair, clean, self.options.lq, top, left, size))
        arrays = [array.transpose(2, 0, 1) for array in arrays]
        if self.options.augment:
            arrays = random_flips(rng, *arrays, odds=(0.5, 0.5, 0.5))
        values = [np.ascontiguousarray(to_float(array)) for array in arrays]
        return {**dict(zip(("input", "target", "lq"), values)), "name": pair.name}


def _low_resolution(
    pair: PicturePair, clean: np.ndarray, scale: int, top: int, left: int, size: int
) -> np.ndarray:
    """Return a window of the shrunk picture, 8 or 16 bits like the file, (size, size, 3)."""
    if pair.lq is not None:
        shrunk = read_image(pair.lq)
        expected = tuple(ceil_div(side, scale) for side in clean.shape[:2])
        if shrunk.shape[:2] != expected:
            raise UserError(
                f"{pair.lq}: has {size_text(shrunk.shape)} pixels, 1/{scale} of {pair.clean} has "
                f"{size_text(expected)}; make it again with tools/prepare_sidd.py lq --scale {scale}"
            )
        return shrunk[top : top + size, left : left + size]
    first_row, first_column = (max(start - _KERNEL_RADIUS, 0) for start in (top, left))
    last_row, last_column = (start + size + _KERNEL_RADIUS for start in (top, left))
    around = clean[first_row * scale : last_row * scale, first_column * scale : last_column * scale]
    shrunk = shrink(around, scale)
    top, left = top - first_row, left - first_column
    return shrunk[top : top + size, left : left + size]


class PairsEval:
    """Whole pictures; the baseline is the noisy picture."""

    note = ""

    def __init__(self, options: PairsOptions, spec: ModelSpec):
        _check_input(spec)
        self.pairs = _pairs(options, train=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int) -> Sample:
        """Return input and target, (3, H, W) float32 in [0, 1]."""
        pair = self.pairs[index]
        pictures = read_pair(pair.noisy, pair.clean)
        noisy, clean = (np.ascontiguousarray(to_float(a).transpose(2, 0, 1)) for a in pictures)
        return {"input": noisy, "target": clean, "name": pair.name}


def _pairs(options: PairsOptions, train: bool) -> list[PicturePair]:
    """Return the pairs of the training or of the evaluation data."""
    if options.val_fraction is None:
        folder = options.train_folder if train else options.eval_folder
        return match_pairs(options.root / folder, options.limit, unreadable=train)
    pairs = match_pairs(options.root / options.train_folder, unreadable=train)
    return split_pairs(pairs, options.val_fraction)[not train][: options.limit]


def _check_input(spec: ModelSpec) -> None:
    if spec.raw:
        raise UserError(f"data.kind pairs: {spec.id} reads raw files, not pictures; use another data.kind")


DATASETS.add("pairs", DatasetKind(PairsOptions, PairsTrain, PairsEval))
