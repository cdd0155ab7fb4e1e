"""The See-in-the-Dark dataset: short and long exposures of the same scene as raw files.

Chen et al., "Learning to See in the Dark", CVPR 2018, section 3. The authors' lists name one
pair a line: short path, long path, ISO, aperture. File names carry the scene and the exposure:
`00001_00_0.04s.ARW` is scene 00001, first frame of the burst, 0.04 s. The first digit of the
scene is its split: 0 training, 1 test, 2 validation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
from pydantic import Field

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.frames import DecodedFrames, Frames
from paddle_restore.data.image import to_float
from paddle_restore.data.raw import RawImage
from paddle_restore.data.transforms import random_flips, random_window
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec
from paddle_restore.options import Options

SPLITS = {"0": "train", "1": "test", "2": "val"}
_NAME = re.compile(r"^(?P<scene>[012]\d{4})_(?P<frame>\d{2})_(?P<seconds>\d+(\.\d+)?)s$")


class SIDOptions(Options):
    """`data:` of a recipe whose `kind` is `sid`."""

    kind: Literal["sid"] = "sid"
    root: Path = Field(description="folder that the lists' paths start from")
    train_list: Path = Field(description="relative to root, like eval_list")
    eval_list: Path
    crop: int = Field(512, gt=0, description="side of a training sample in input (packed) pixels")
    ratio: Literal["known", "auto"] = Field(
        "known", description="amplification: long/short exposure, or estimated from the dark frame alone"
    )
    max_ratio: float = Field(300.0, gt=0, description="a known ratio is at most this")
    amplifier_m: Literal[1, 5, 8] = Field(1, description="m of the estimated ratio, which it multiplies")
    flips: tuple[float, float, float] = Field(
        (0.5, 0.5, 0.5), description="odds of reversing rows, reversing columns, transposing"
    )
    burst: Literal["first", "all"] = Field(
        "first", description="short frames to train on: each exposure's first, as the authors, or all"
    )
    exclude: tuple[str, ...] = Field(
        ("10034", "10045", "10172"), description="misaligned scenes, left out of quantitative evaluation"
    )
    black_level: Optional[float] = Field(None, description="in place of what the files say")
    white_level: Optional[float] = None
    limit: Optional[int] = Field(None, gt=0, description="use only so many scenes (training) or pairs")


@dataclass(frozen=True)
class Pair:
    """One line of a list."""

    short: Path
    long: Path

    @property
    def scene(self) -> str:
        return parse_name(self.short)["scene"]

    def ratio(self, limit: float = 300.0) -> float:
        """Amplification: long over short exposure time, at most `limit`."""
        long, short = (float(parse_name(path)["seconds"]) for path in (self.long, self.short))
        return min(long / short, limit)

    @property
    def group(self) -> str:
        """The ratio class that the published tables use: x100, x250 or x300."""
        return f"x{self.ratio():.0f}"


def parse_name(path: Path) -> dict[str, str]:
    """Return `scene`, `frame` and `seconds` of a SID file name, or raise UserError."""
    match = _NAME.match(path.stem)
    if not match:
        raise UserError(f"{path}: not a SID file name such as 00001_00_0.04s.ARW")
    return match.groupdict()


def read_list(root: Path, name: Path) -> list[Pair]:
    """Read a list in the authors' format; every file that it names must be there."""
    path = root / name
    if not path.is_file():
        raise UserError(f"{path}: no such list; check data.root ({root}) and the list's name")
    pairs = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file; a list names a short and a long file a line") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2:
            raise UserError(f"{path}:{number}: expected a short and a long path, got {line.strip()!r}")
        pair = Pair(root / words[0], root / words[1])
        for file in (pair.short, pair.long):
            parse_name(file)
            if not file.is_file():
                raise UserError(f"{path}:{number}: names {file}, which does not exist")
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{path}: the list is empty")
    return pairs


def amplification(raw: RawImage, pair: Pair, options: SIDOptions) -> float:
    """Return what the whole dark frame `raw` of `pair` is multiplied with."""
    if options.ratio == "auto":
        return estimate_ratio(*raw.histogram(), m=options.amplifier_m)
    return pair.ratio(options.max_ratio)


def match_target(path: Path, targets: Sequence[Path]) -> Path:
    """Return the reference of a file: the only one, the one of its name, or that of its SID scene.

    Raises UserError where none fits.
    """
    if len(targets) == 1:
        return targets[0]
    scene = _NAME.match(path.stem)
    for target in targets:
        other = _NAME.match(target.stem)
        if target.stem == path.stem or (scene and other and other["scene"] == scene["scene"]):
            return target
    raise UserError(f"{path}: no file in {targets[0].parent} has its name or its SID scene number")


def network_input(raw: RawImage, kind: str, ratio: float) -> np.ndarray:
    """Return what a network of input `kind` reads: packed planes or the one-channel mosaic.

    float32 (C, h, w), amplified by `ratio` and clipped to [0, 1]. Raises UserError for a sensor
    of another kind than the network's.
    """
    if kind == "mosaic" and raw.kind == "bayer":
        return raw.normalised(ratio)
    if kind != raw.kind:
        raise UserError(f"{raw.path}: the network reads {kind} files, and this is a {raw.kind} one")
    return raw.packed(ratio)


class SIDTrain:
    """Training samples: an epoch visits every scene once, with a random short exposure."""

    def __init__(self, options: SIDOptions, spec: ModelSpec, crop: Optional[int] = None):
        self.options, self.spec = options, spec
        self.crop = crop or options.crop
        self.frames: Frames = DecodedFrames(options.black_level, options.white_level)
        scenes: dict[Path, list[Pair]] = {}
        for pair in read_list(options.root, options.train_list):
            if options.burst == "all" or parse_name(pair.short)["frame"] == "00":
                scenes.setdefault(pair.long, []).append(pair)
        self.scenes = list(scenes.values())[: options.limit]
        if not self.scenes:
            raise UserError(
                f"{options.root / options.train_list}: no first frames (_00_); set data.burst=all"
            )

    def __len__(self) -> int:
        return len(self.scenes)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return input (C, crop, crop) and target (3, s*crop, s*crop), float32 in [0, 1]."""
        pairs = self.scenes[index]
        pair = pairs[rng.integers(len(pairs))]
        whole = self.frames.raw(pair.short)
        ratio = amplification(whole, pair, self.options)
        raw = whole.aligned()
        factor = PACK_FACTOR[self.spec.input]
        # Windows start on whole colour periods, which for X-Trans are two packed pixels.
        step = raw.period
        rows, columns = (size // step for size in raw.mosaic.shape)
        size = self.crop * factor
        cells = -(-size // step)
        top, left = (step * p for p in random_window(rows, columns, cells, rng, str(pair.short)))
        packed = network_input(raw.crop(top, left, cells * step, cells * step), self.spec.input, ratio)
        target = self._target(pair.long, whole, top, left, size)
        packed = packed[:, : self.crop, : self.crop]
        mosaic = self.spec.input == "mosaic"
        packed, target = random_flips(rng, packed, target, odds=self.options.flips, keep_phase=mosaic)
        return {"input": packed, "target": target, "name": pair.short.stem, "ratio": np.float32(ratio)}

    def _target(self, path: Path, raw: RawImage, top: int, left: int, size: int) -> np.ndarray:
        frame = _aligned_target(self.frames, path, raw)
        return to_float(frame[top : top + size, left : left + size]).transpose(2, 0, 1)


class SIDEval:
    """Whole frames of the evaluation list, with the amplified input as the baseline."""

    def __init__(self, options: SIDOptions, spec: ModelSpec):
        self.options, self.spec = options, spec
        self.frames: Frames = DecodedFrames(options.black_level, options.white_level)
        self.pairs = read_list(options.root, options.eval_list)[: options.limit]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def note(self) -> str:
        """What the report must say of the pairs that it does not count."""
        left_out = sorted({pair.scene for pair in self.pairs} & set(self.options.exclude))
        return f"left out of the means as misaligned: {', '.join(left_out)}" if left_out else ""

    def sample(self, index: int) -> dict[str, Any]:
        """Return input (C, h, w), target and baseline (3, H, W), float32 in [0, 1], and group."""
        pair = self.pairs[index]
        whole = self.frames.raw(pair.short)
        ratio = amplification(whole, pair, self.options)
        target = to_float(_aligned_target(self.frames, pair.long, whole)).transpose(2, 0, 1)
        amplified = to_float(_aligned_target(self.frames, pair.short, whole)).transpose(2, 0, 1)
        return {
            "input": network_input(whole.aligned(), self.spec.input, ratio),
            "target": target,
            # The authors' baseline: the short frame scaled to the target's mean.
            "baseline": np.clip(amplified * (target.mean() / max(amplified.mean(), 1e-8)), 0, 1),
            "name": pair.short.stem,
            "ratio": np.float32(ratio),
            "group": pair.group,
            "counted": pair.scene not in self.options.exclude,
        }


def _aligned_target(frames: Frames, path: Path, raw: RawImage) -> np.ndarray:
    """The developed frame, cut as `raw.aligned()` cuts the mosaic."""
    frame = frames.target(path)
    if frame.shape[:2] != raw.mosaic.shape:
        sizes = ["x".join(map(str, shape[1::-1])) for shape in (frame.shape, raw.mosaic.shape)]
        raise UserError(f"{path}: developed to {sizes[0]} pixels, but {raw.path} has {sizes[1]}")
    (top, left), (height, width) = raw.phase, raw.aligned().mosaic.shape
    return frame[top : top + height, left : left + width]
