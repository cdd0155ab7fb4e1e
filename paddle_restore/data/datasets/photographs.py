"""Noisy and clean patches made from a folder of clean photographs (`synthetic/camera.py`).

    ROOT/train/*.png   ROOT/val/*.png      (tools/fetch_photographs.py)

A part of the training patches is not cut from photographs but drawn: lines, shapes and letters on flat
or graded ground, of which the photographs have few.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

import cv2
import numpy as np
from pydantic import Field

from paddle_restore.data.datasets import DATASETS, MAX_CROP, DatasetKind, DatasetOptions, Sample
from paddle_restore.data.files import list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import read_image
from paddle_restore.data.pixels import random_flips, random_window
from paddle_restore.data.synthetic.camera import draw_development, source_side, take_picture
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec

_EVAL_SEED = 17
_CANDIDATES = 4


class WindowsOptions(DatasetOptions):
    """What kinds of dataset that are made from clean photographs share."""

    root: Path = Field(description="folder of the two sub-folders below")
    train_folder: Path = Field(Path("train"), description="clean photographs to learn from")
    eval_folder: Path = Field(Path("val"), description="clean photographs to measure on")
    crop: int = Field(128, gt=0, le=MAX_CROP, description="side of a training patch in the network's pixels")
    limit: Optional[int] = Field(None, gt=0, description="number of photographs to use; default: all")
    epoch: int = Field(10000, gt=0, description="patches an epoch")
    drawn: float = Field(0.1, ge=0, le=1, description="share of patches that are drawn")
    detailed: float = Field(0.6, ge=0, le=1, description="share that are the most detailed of several")
    recoloured: float = Field(0.3, ge=0, le=1, description="share whose red, green and blue are exchanged")
    eval_crop: int = Field(256, gt=0, le=MAX_CROP, description="side of an evaluation patch")
    eval_patches: int = Field(4, gt=0, description="evaluation patches of each photograph")


class PhotographsOptions(WindowsOptions):
    """`data:` of a recipe whose `kind` is `photographs`."""

    kind: Literal["photographs"] = "photographs"
    clean: float = Field(0.2, ge=0, le=1, description="share of patches with almost no noise")


class Photographs:
    """Windows of the photographs of a folder, more from the large ones, and drawn ones."""

    def __init__(self, options: WindowsOptions, folder: Path):
        self.options, self.photographs = options, read_photographs(folder, options.limit)
        sizes = np.array([photo.shape[0] * photo.shape[1] for photo in self.photographs], float)
        # Between equal odds for each photograph and for each pixel.
        self.odds = np.cumsum(np.sqrt(sizes) / np.sqrt(sizes).sum())

    def window(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """Return a random window, (side, side, 3) uint8."""
        if rng.random() < self.options.drawn:
            return draw_scene(side, rng)
        # Wallpapers are smooth for the most part: of several windows the most detailed, often.
        count = _CANDIDATES if rng.random() < self.options.detailed else 1
        window = max((self._any_window(side, rng) for _ in range(count)), key=_detail)
        if rng.random() < self.options.recoloured:
            window = np.ascontiguousarray(window[..., rng.permutation(3)])
        return window

    def _any_window(self, side: int, rng: np.random.Generator) -> np.ndarray:
        photo = self.photographs[min(int(np.searchsorted(self.odds, rng.random())), len(self.odds) - 1)]
        return random_part(photo, side, rng)


class WindowsTrain:
    """What training sets made from photographs share; they add `sample`."""

    def __init__(self, options: WindowsOptions, crop: Optional[int]):
        self.crop, self.epoch = crop or options.crop, options.epoch
        self.photographs = Photographs(options, options.root / options.train_folder)

    def __len__(self) -> int:
        return self.epoch


class WindowsEval:
    """What evaluation sets made from photographs share; they add `sample`."""

    note = ""

    def __init__(self, options: WindowsOptions):
        self.size, self.patches = options.eval_crop, options.eval_patches
        self.photographs = read_photographs(options.root / options.eval_folder, options.limit)

    def __len__(self) -> int:
        return len(self.photographs) * self.patches

    def window(self, index: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """Return a part of the photograph that patch `index` is cut from, (side, side, 3) uint8."""
        return random_part(self.photographs[index % len(self.photographs)], side, rng)


class PhotographsTrain(WindowsTrain):
    """Patches of random photographs, each with its own camera and noise."""

    def __init__(self, options: PhotographsOptions, spec: ModelSpec, crop: Optional[int] = None):
        _check(spec)
        super().__init__(options, crop)
        self.options = options

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return input and target, (3, crop, crop) float32 in [0, 1]."""
        development = draw_development(rng, self.options.clean)
        window = self.photographs.window(source_side(self.crop, development), rng)
        pair = [part.transpose(2, 0, 1) for part in take_picture(window, self.crop, development, rng)]
        noisy, clean = map(np.ascontiguousarray, random_flips(rng, *pair, odds=(0.5, 0.5, 0.5)))
        return {"input": noisy, "target": clean, "name": str(index)}


class PhotographsEval(WindowsEval):
    """Fixed patches of the held-out photographs, each with a camera and noise that its index draws."""

    def __init__(self, options: PhotographsOptions, spec: ModelSpec):
        _check(spec)
        super().__init__(options)
        self.options = options

    def sample(self, index: int) -> Sample:
        """Return input and target, (3, eval_crop, eval_crop) float32 in [0, 1]."""
        rng = np.random.default_rng([_EVAL_SEED, index])
        development = draw_development(rng, self.options.clean)
        window = self.window(index, source_side(self.size, development), rng)
        pair = take_picture(window, self.size, development, rng)
        noisy, clean = (np.ascontiguousarray(part.transpose(2, 0, 1)) for part in pair)
        return {"input": noisy, "target": clean, "name": f"{index:04d}"}


def draw_scene(side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw shapes, lines and letters on a graded ground: (side, side, 3) uint8."""
    corners = rng.integers(0, 256, (2, 2, 3)).astype(np.float32)
    if rng.random() < 0.5:
        corners[:] = corners[0, 0] + rng.normal(0, 12, (2, 2, 3))
    picture = np.clip(cv2.resize(corners, (side, side), interpolation=cv2.INTER_LINEAR), 0, 255)
    picture = np.ascontiguousarray(picture.astype(np.uint8))
    for _ in range(rng.integers(1, 14)):
        color = tuple(int(value) for value in rng.integers(0, 256, 3))
        points = [(int(x), int(y)) for x, y in rng.integers(-side // 4, side + side // 4, (4, 2))]
        kind = rng.integers(6)
        if kind == 0:
            cv2.rectangle(picture, points[0], points[1], color, -1)
        elif kind == 1:
            cv2.circle(picture, points[0], int(rng.integers(2, side // 2)), color, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.fillPoly(picture, [np.array(points[:3], np.int32)], color, cv2.LINE_AA)
        elif kind == 3:
            _draw_fibres(picture, points[0], color, rng)
        elif kind == 4:
            cv2.line(picture, points[0], points[1], color, int(rng.integers(1, 5)), cv2.LINE_AA)
        else:
            letters = "".join(chr(code) for code in rng.integers(33, 127, rng.integers(3, 16)))
            font, size = int(rng.integers(0, 8)), float(rng.uniform(0.3, 1.6))
            place = (int(rng.integers(-10, side // 2)), int(rng.integers(10, side)))
            cv2.putText(picture, letters, place, font, size, color, int(rng.integers(1, 3)), cv2.LINE_AA)
    return picture


def _draw_fibres(
    picture: np.ndarray, middle: tuple[int, int], color: tuple[int, ...], rng: np.random.Generator
) -> None:
    """Draw a brush of thin, nearly parallel lines whose colours vary."""
    side = picture.shape[0]
    angle, length, width = rng.uniform(0, np.pi), rng.uniform(0.2, 1.0) * side, rng.uniform(0.1, 0.5) * side
    for _ in range(rng.integers(20, 120)):
        turned = angle + rng.normal(0, 0.08)
        start = np.array(middle) + rng.normal(0, 0.5 * width, 2)
        end = start + length * np.array([np.cos(turned), np.sin(turned)])
        shade = tuple(int(value) for value in np.clip(np.array(color) * rng.uniform(0.4, 1.5), 0, 255))
        first, last = (tuple(int(value) for value in point) for point in (start, end))
        cv2.line(picture, first, last, shade, 1, cv2.LINE_AA)


def _detail(window: np.ndarray) -> float:
    """Mean magnitude of the green channel's Laplacian."""
    return float(np.abs(cv2.Laplacian(window[..., 1], cv2.CV_16S)).mean())


def random_part(photo: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of a photograph; one that is smaller is mirrored at its borders."""
    missing = [max(side - size, 0) for size in photo.shape[:2]]
    if any(missing):
        photo = np.pad(photo, ((0, missing[0]), (0, missing[1]), (0, 0)), "symmetric")
    height, width = photo.shape[:2]
    top, left = random_window(height, width, side, rng, "a photograph")
    return photo[top : top + side, left : left + side]


def read_photographs(folder: Path, limit: Optional[int] = None) -> list[np.ndarray]:
    """Read the (first) pictures of a folder, (H, W, 3) uint8. Raises UserError for one of 16 bits."""
    photographs = []
    for path in list_files(folder, is_picture, "pictures")[:limit]:
        photo = read_image(path)
        if photo.dtype != np.uint8:
            raise UserError(f"{path}: has 16 bits; photographs to train on are read as 8-bit pictures")
        photographs.append(photo)
    return photographs


def _check(spec: ModelSpec) -> None:
    if spec.raw:
        raise UserError(
            f"data.kind photographs: {spec.id} reads raw files, not pictures; use another data.kind"
        )


DATASETS.add("photographs", DatasetKind(PhotographsOptions, PhotographsTrain, PhotographsEval))
