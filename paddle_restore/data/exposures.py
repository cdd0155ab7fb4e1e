"""Samples from pairs of raw files: a short, dark exposure and a long, clean one of the same scene.

The datasets of SID's lists and of other lists share what is here: crops, targets, amplification,
augmentation, the cache, and synthetic noise instead of short exposures.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional

import numpy as np
from pydantic import Field

from paddle_restore.arithmetic import round_up
from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.cache import CachedFrames, DecodedFrames, Frames
from paddle_restore.data.datasets import MAX_CROP, DatasetOptions, Sample
from paddle_restore.data.matching import size_text
from paddle_restore.data.mosaic import RawImage, network_input
from paddle_restore.data.pixels import Flips, draw_flips, flip_planes, random_window, to_float
from paddle_restore.data.raw_options import RawOptions
from paddle_restore.data.synthetic.noise import NoiseOptions, ShortExposures
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

Odds = Annotated[float, Field(ge=0, le=1)]


class ExposureOptions(RawOptions, DatasetOptions):
    """`data:` keys of every kind that reads pairs of raw files."""

    root: Path = Field(description="folder that the lists' paths start from")
    train_list: Path = Field(description="relative to root, like eval_list")
    eval_list: Path
    crop: int = Field(
        512, gt=0, le=MAX_CROP, description="side of a training sample in input (packed) pixels"
    )
    flips: tuple[Odds, Odds, Odds] = Field(
        (0.5, 0.5, 0.5), description="probabilities of reversing rows, reversing columns, transposing"
    )
    augment: Literal["flips", "bayer"] = Field(
        "flips",
        description="flip the packed planes, as the authors do, or the mosaic with its phase (Lamba: always)",
    )
    noise: Optional[NoiseOptions] = Field(
        None, description="compute the short exposures from the long ones, with synthetic noise"
    )
    visit: Literal["scene", "short"] = Field(
        "scene",
        description="what an epoch visits once: every scene, with one of its short files at random, or every "
        "short file",
    )
    cache: Optional[Path] = Field(None, description="folder of decoded frames, filled during training")
    limit: Optional[int] = Field(None, gt=0, description="number of scenes (training) or pairs; default: all")


@dataclass(frozen=True)
class RawPair:
    """A pair of a list. `short` is None if it is made from the long exposure.

    group    under which the report lists the pair, such as x100
    counted  False leaves the pair out of the means
    picture  name of the pictures that are written of it; "" for that of the file
    """

    short: Optional[Path]
    long: Path
    ratio: float
    group: str = ""
    counted: bool = True
    picture: str = ""

    @property
    def name(self) -> str:
        return (self.short or self.long).stem


class ExposuresTrain:
    """Training samples: an epoch visits every long exposure once, with a random short one of it.

    With `visit: short` it visits every short file instead. `limit` counts long exposures in both cases.
    """

    def __init__(
        self, options: ExposureOptions, spec: ModelSpec, pairs: Sequence[RawPair], crop: Optional[int] = None
    ):
        if options.augment == "bayer" and spec.input == "xtrans":
            raise UserError(f"data.augment=bayer: {spec.id} reads X-Trans files; use augment=flips")
        self.options, self.spec = options, spec
        self.crop = crop or options.crop
        self.frames = _frames(options, fill=True)
        self.shorts = ShortExposures(options.noise) if options.noise else None
        scenes: dict[Path, list[RawPair]] = {}
        for pair in pairs:
            scenes.setdefault(pair.long, []).append(pair)
        self.scenes = list(scenes.values())[: options.limit]
        if options.visit == "short":
            self.scenes = [[pair] for scene in self.scenes for pair in scene]

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Return input (C, crop, crop) and target (3, s*crop, s*crop), float32 in [0, 1].

        The input may be above 1 where the network's spec says `clip: false`.
        """
        pairs = self.scenes[index]
        pair = pairs[rng.integers(len(pairs))]
        source = pair.long if self.shorts or pair.short is None else pair.short
        whole = self.frames.raw(source)
        aligned = whole.aligned()
        size = self.crop * PACK_FACTOR[self.spec.input]
        # Windows hold whole colour periods, which for X-Trans are two packed pixels.
        side = round_up(size, whole.period)
        rows, columns = (length // whole.period for length in aligned.mosaic.shape)
        window = random_window(rows, columns, side // whole.period, rng, str(source))
        top, left = (whole.period * start for start in window)
        choice = draw_flips(rng, self.options.flips)
        # A one-channel mosaic must be flipped with its phase kept: else it begins with another colour.
        keep_phase = self.options.augment == "bayer" or self.spec.input == "mosaic"
        if keep_phase:
            (top, left), choice = _reversible(aligned, side, (top, left), choice)
        raw = aligned.crop(top, left, side, side)
        if self.shorts:
            raw, ratio = self.shorts.make(raw, rng)
            ratio = _amplification(raw, ratio, self.options)
        else:
            ratio = _amplification(whole, pair.ratio, self.options)
        raw = raw.flipped(*choice) if keep_phase else raw
        packed = network_input(raw, self.spec.input, ratio, self.spec.clip)[:, : self.crop, : self.crop]
        packed = np.ascontiguousarray(packed) if keep_phase else flip_planes(packed, choice)
        frame = _aligned_target(self.frames, pair.long, whole)
        view = frame[top : top + size, left : left + size].transpose(2, 0, 1)
        # Flip the integers, not the floats: this takes most of a cached sample's time.
        target = flip_planes(view, choice, scale=65535)
        return {"input": packed, "target": target, "name": source.stem, "ratio": np.float32(ratio)}


class ExposuresEval:
    """Whole frames of the evaluation list, with the amplified input as the baseline."""

    note = ""

    def __init__(self, options: ExposureOptions, spec: ModelSpec, pairs: Sequence[RawPair]):
        self.options, self.spec = options, spec
        # Frames that training or prepare_sid has cached are used. None are added: whole evaluation
        # lists would take the disk space of several training sets.
        self.frames = _frames(options, fill=False)
        self.shorts = ShortExposures(options.noise) if options.noise else None
        self.pairs = list(pairs)[: options.limit]
        if not any(pair.counted for pair in self.pairs):
            raise UserError(f"{options.root / options.eval_list}: data.exclude leaves no picture to count")
        self.pictures = _picture_names(self.pairs, options.root)

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, index: int) -> Sample:
        """Return input (C, h, w), target and baseline (3, H, W), and group; ranges as in `ExposuresTrain`."""
        pair = self.pairs[index]
        whole, ratio = self.frames.raw(pair.short or pair.long), pair.ratio
        target = to_float(_aligned_target(self.frames, pair.long, whole)).transpose(2, 0, 1)
        raw = whole.aligned()
        if pair.short is None:
            assert self.shorts is not None
            raw, ratio = self.shorts.make(raw, np.random.default_rng([0, index]))
            amplified = raw.preview(ratio)
        else:
            amplified = to_float(_aligned_target(self.frames, pair.short, whole)).transpose(2, 0, 1)
        ratio = _amplification(whole if pair.short else raw, ratio, self.options)
        return {
            "input": network_input(raw, self.spec.input, ratio, self.spec.clip),
            "target": target,
            # The authors' baseline: the short frame scaled to the target's mean.
            "baseline": np.clip(amplified * (target.mean() / max(amplified.mean(), 1e-8)), 0, 1),
            "name": pair.name,
            "picture": self.pictures[index],
            "ratio": np.float32(ratio),
            "group": pair.group,
            "counted": pair.counted,
        }


def _picture_names(pairs: Sequence[RawPair], root: Path) -> list[str]:
    """Name the pictures of each pair. Equal names get their folder below `root`, then a number."""
    names = [pair.picture or pair.name for pair in pairs]
    count, used = Counter(names), set[str]()
    for index, pair in enumerate(pairs):
        name = names[index]
        if count[name] > 1:
            folder = Path(os.path.relpath((pair.short or pair.long).parent, root))
            name = "_".join([*folder.parts, name])
        numbered, number = name, 1
        while numbered in used:
            number += 1
            numbered = f"{name}_{number}"
        names[index] = numbered
        used.add(numbered)
    return names


def _frames(options: ExposureOptions, fill: bool) -> Frames:
    levels = options.black_level, options.white_level
    if options.cache:
        return CachedFrames(options.cache, options.root, *levels, fill=fill)
    return DecodedFrames(*levels)


def _amplification(raw: RawImage, known: float, options: ExposureOptions) -> float:
    """Return the factor of a dark frame; with synthetic noise, of its crop."""
    if options.ratio == "auto":
        return estimate_ratio(*raw.histogram(), m=options.amplifier_m, limited=options.amplifier_limited)
    return known


def _reversible(
    raw: RawImage, side: int, window: tuple[int, int], choice: Flips
) -> tuple[tuple[int, int], Flips]:
    """Move a Bayer window so that it begins with red after it is reversed; return its top, left and choice.

    A window moves by one pixel along each reversed side, forwards, or back at the frame's end (Liu et al.,
    "Learning Raw Image Denoising with Bayer Pattern Unification and Bayer Preserving Augmentation", CVPRW
    2019, section 3.3). A side without a pixel to spare is not reversed.
    """
    starts, reverses = [], []
    for start, length, reverse in zip(window, raw.mosaic.shape, choice):
        reverse = reverse and length > side
        starts.append(start + (1 if start + side < length else -1) if reverse else start)
        reverses.append(reverse)
    return (starts[0], starts[1]), (reverses[0], reverses[1], choice[2])


def _aligned_target(frames: Frames, path: Path, raw: RawImage) -> np.ndarray:
    """Return the developed frame, cut like the mosaic of `raw.aligned()`."""
    frame = frames.target(path)
    if frame.shape[:2] != raw.mosaic.shape:
        raise UserError(
            f"{path}: developed to {size_text(frame.shape)} pixels, "
            f"but {raw.path} has {size_text(raw.mosaic.shape)}"
        )
    (top, left), (height, width) = raw.phase, raw.aligned().mosaic.shape
    return frame[top : top + height, left : left + width]
