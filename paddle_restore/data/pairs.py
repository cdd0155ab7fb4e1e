"""Folders of noisy and clean pictures, matched by name.

    ROOT/train/input  ROOT/train/groundtruth      or      ROOT/train/Noisy  ROOT/train/GT  [LQ]
    ROOT/val/...

LQ holds the clean pictures shrunk by MATLAB's imresize, which InvDN trains on (Liu et al., CVPR 2021);
without it they are made on the fly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
from pydantic import Field

from paddle_restore.data.files import list_files
from paddle_restore.data.image import image_size, is_picture, read_image, to_float, to_integer
from paddle_restore.data.resize import imresize
from paddle_restore.data.transforms import random_flips, random_window
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec
from paddle_restore.options import Options

SPELLINGS = (("input", "groundtruth"), ("Noisy", "GT"))
LOW_RESOLUTION = "LQ"
# The border, in low-resolution pixels, that the bicubic kernel of a down-sampling reaches over.
_REACH = 3


class PairsOptions(Options):
    """`data:` of a recipe whose `kind` is `pairs`."""

    kind: Literal["pairs"] = "pairs"
    root: Path = Field(description="folder of the two sub-folders below")
    train_folder: Path = Field(Path("train"), description="holds input and groundtruth, or Noisy and GT")
    eval_folder: Path = Field(Path("val"), description="likewise")
    crop: int = Field(128, gt=0, description="side of a training sample in pixels")
    augment: bool = Field(True, description="flips and quarter turns, each of the eight equally often")
    lq: Optional[int] = Field(
        None, gt=1, description="also give the target shrunk so many times: from LQ/, else made on the fly"
    )
    limit: Optional[int] = Field(None, gt=0, description="use only so many pairs")


@dataclass(frozen=True)
class PicturePair:
    """A noisy and a clean picture of one size; `lq` is where the shrunk clean one is, if anywhere.

    `size` is None where one of them cannot be read.
    """

    noisy: Path
    clean: Path
    size: Optional[tuple[int, int]]
    lq: Optional[Path] = None

    @property
    def name(self) -> str:
        return self.noisy.stem


def pair_folders(folder: str | Path) -> tuple[Path, Path]:
    """Return the folders of noisy and of clean pictures in `folder`, whichever spelling it has."""
    folder = Path(folder)
    for noisy, clean in SPELLINGS:
        if (folder / noisy).is_dir() and (folder / clean).is_dir():
            return folder / noisy, folder / clean
    spellings = " or ".join(f"{noisy}/ and {clean}/" for noisy, clean in SPELLINGS)
    raise UserError(f"{folder}: expected {spellings} in it; check data.root and the sub-folders' names")


def match_pairs(
    folder: str | Path, limit: Optional[int] = None, unreadable: bool = False
) -> list[PicturePair]:
    """Return the pairs of a folder in order of name.

    Names match without their suffix. Raises UserError that lists the pictures without a partner,
    or the pairs of two sizes, and, unless `unreadable` ones are to be listed too, for one of those.
    """
    noisy, clean = (_by_stem(part) for part in pair_folders(folder))
    alone = [str(noisy[name]) for name in noisy if name not in clean]
    alone += [str(clean[name]) for name in clean if name not in noisy]
    if alone:
        raise UserError(f"{folder}: {len(alone)} pictures have no partner of their name: {listed(alone)}")
    shrunk = Path(folder) / LOW_RESOLUTION
    lq = _by_stem(shrunk) if shrunk.is_dir() and any(shrunk.iterdir()) else {}
    pairs, unequal = [], []
    for name in list(noisy)[:limit]:
        try:
            sizes = [image_size(part[name]) for part in (noisy, clean)]
        except UserError:
            if not unreadable:
                raise
            sizes = [None, None]
        if sizes[0] != sizes[1]:
            unequal.append(f"{noisy[name]} {_shown(sizes[0])} and {clean[name]} {_shown(sizes[1])}")
        pairs.append(PicturePair(noisy[name], clean[name], sizes[0], lq.get(name)))
    if unequal:
        raise UserError(f"{folder}: {len(unequal)} pairs differ in size: {listed(unequal)}")
    return pairs


def listed(items: Sequence[str], most: int = 10) -> str:
    """Join the first ones and say how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in list_files(folder, is_picture, "pictures"):
        if file.stem in files:
            raise UserError(f"{folder}: {files[file.stem].name} and {file.name} have the same name")
        files[file.stem] = file
    return files


def _shown(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


class PairsTrain:
    """Random crops of every pair, one an epoch."""

    def __init__(self, options: PairsOptions, spec: ModelSpec, crop: Optional[int] = None):
        _check_kind(spec)
        self.options = options
        self.crop = crop or options.crop
        if options.lq and self.crop % options.lq:
            raise UserError(f"data.crop: {self.crop} is not divisible by data.lq ({options.lq})")
        self.pairs = match_pairs(options.root / options.train_folder, options.limit, unreadable=True)
        known = [pair for pair in self.pairs if pair.size]  # training skips what it cannot read
        small = [f"{pair.noisy} {_shown(pair.size)}" for pair in known if min(pair.size) < self.crop]
        if small:
            raise UserError(f"smaller than the crop of {self.crop}: {listed(small)}; lower data.crop")

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return input and target (3, crop, crop), lq (3, crop/n, crop/n) where asked for; [0, 1]."""
        pair = self.pairs[index]
        noisy, clean = _read(pair)
        # With a low-resolution target the window starts on whole pixels of it.
        step = self.options.lq or 1
        size = self.crop // step
        rows, columns = (side // step for side in clean.shape[:2])
        top, left = random_window(rows, columns, size, rng, str(pair.noisy))
        window = np.s_[top * step : (top + size) * step, left * step : (left + size) * step]
        arrays = [noisy[window], clean[window]]
        if self.options.lq:
            arrays.append(self._low_resolution(pair, clean, top, left, size))
        arrays = [array.transpose(2, 0, 1) for array in arrays]
        if self.options.augment:
            arrays = random_flips(rng, *arrays, odds=(0.5, 0.5, 0.5))
        values = [np.ascontiguousarray(to_float(array)) for array in arrays]
        return {**dict(zip(("input", "target", "lq"), values)), "name": pair.name}

    def _low_resolution(
        self, pair: PicturePair, clean: np.ndarray, top: int, left: int, size: int
    ) -> np.ndarray:
        """The window of the shrunk picture, 8 or 16 bits like the file, (size, size, 3)."""
        step = self.options.lq
        if pair.lq is not None:
            shrunk = read_image(pair.lq)
            wanted = tuple(-(-side // step) for side in clean.shape[:2])
            if shrunk.shape[:2] != wanted:
                raise UserError(
                    f"{pair.lq}: has {_shown(shrunk.shape[:2])} pixels, 1/{step} of {pair.clean} has "
                    f"{_shown(wanted)}; make it anew with tools/prepare_sidd.py lq --scale {step}"
                )
            return shrunk[top : top + size, left : left + size]
        first = [max(place - _REACH, 0) for place in (top, left)]
        around = clean[
            first[0] * step : (top + size + _REACH) * step, first[1] * step : (left + size + _REACH) * step
        ]
        shrunk = shrink(around, step)
        top, left = top - first[0], left - first[1]
        return shrunk[top : top + size, left : left + size]


def shrink(picture: np.ndarray, scale: int) -> np.ndarray:
    """(H, W, 3) integers -> 1/scale of it by MATLAB's imresize, in the same integers."""
    return to_integer(imresize(to_float(picture), 1 / scale), 8 * picture.dtype.itemsize)


class PairsEval:
    """Whole pictures; the baseline is the noisy one itself."""

    note = ""

    def __init__(self, options: PairsOptions, spec: ModelSpec):
        _check_kind(spec)
        self.pairs = match_pairs(options.root / options.eval_folder, options.limit)

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int) -> dict[str, Any]:
        """Return input and target, (3, H, W) float32 in [0, 1]."""
        pair = self.pairs[index]
        noisy, clean = (np.ascontiguousarray(to_float(a).transpose(2, 0, 1)) for a in _read(pair))
        return {"input": noisy, "target": clean, "name": pair.name}


def _read(pair: PicturePair) -> tuple[np.ndarray, np.ndarray]:
    noisy, clean = read_image(pair.noisy), read_image(pair.clean)
    if noisy.shape != clean.shape:
        raise UserError(f"{pair.noisy} and {pair.clean} differ in size")
    return noisy, clean


def _check_kind(spec: ModelSpec) -> None:
    if spec.raw:
        raise UserError(f"data.kind pairs: {spec.id} reads raw files, not pictures; use another data.kind")
