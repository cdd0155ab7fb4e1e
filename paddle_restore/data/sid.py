"""The See-in-the-Dark dataset: short and long exposures of the same scene as raw files.

Chen et al., "Learning to See in the Dark", CVPR 2018, section 3. The authors' lists name one
pair a line: short path, long path, ISO, aperture. File names carry the scene and the exposure:
`00001_00_0.04s.ARW` is scene 00001, first frame of the burst, 0.04 s. The first digit of the
scene is its split: 0 training, 1 test, 2 validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Optional

from pydantic import Field

from paddle_restore.data.exposures import ExposureOptions, ExposuresEval, ExposuresTrain, RawPair
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec

SPLITS = {"0": "train", "1": "test", "2": "val"}
_NAME = re.compile(r"^(?P<scene>[012]\d{4})_(?P<frame>\d{2})_(?P<seconds>\d+(\.\d+)?)s$")


class SIDOptions(ExposureOptions):
    """`data:` of a recipe whose `kind` is `sid`."""

    kind: Literal["sid"] = "sid"
    burst: Literal["first", "all"] = Field(
        "first", description="short frames to train on: each exposure's first, as the authors, or all"
    )
    exclude: tuple[str, ...] = Field(
        ("10034", "10045", "10172"), description="misaligned scenes, left out of quantitative evaluation"
    )


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


def read_list(root: Path, name: Path, shorts: bool = True) -> list[Pair]:
    """Read a list in the authors' format; every file that it names must be there.

    `shorts` False allows short files to be missing, as when their noise is made.
    """
    path, pairs = root / name, []
    for number, pair in parse_list(root, name):
        for file in (pair.short, pair.long) if shorts else (pair.long,):
            if not file.is_file():
                raise UserError(f"{path}:{number}: names {file}, which does not exist")
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{path}: the list is empty")
    return pairs


def parse_list(root: Path, name: Path) -> Iterator[tuple[int, Pair]]:
    """Yield (line number, pair) of a list in the authors' format, whether or not the files are there."""
    path = root / name
    if not path.is_file():
        raise UserError(f"{path}: no such list; check data.root ({root}) and the list's name")
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
        yield number, pair


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


class SIDTrain(ExposuresTrain):
    """Training samples: an epoch visits every scene once, with a random short exposure."""

    def __init__(self, options: SIDOptions, spec: ModelSpec, crop: Optional[int] = None):
        pairs = read_list(options.root, options.train_list, shorts=options.noise is None)
        foreign = sorted({pair.scene for pair in pairs if SPLITS[pair.scene[0]] == "test"})
        if foreign:
            raise UserError(
                f"{options.root / options.train_list}: names test scenes (their ids begin with 1): "
                f"{', '.join(foreign[:3])}; training on them would spoil the evaluation"
            )
        if options.burst == "first":
            pairs = [pair for pair in pairs if parse_name(pair.short)["frame"] == "00"]
        if not pairs:
            raise UserError(
                f"{options.root / options.train_list}: no first frames (_00_); set data.burst=all"
            )
        super().__init__(options, spec, _raw_pairs(pairs, options), crop)


class SIDEval(ExposuresEval):
    """Whole frames of the evaluation list, with the amplified input as the baseline."""

    def __init__(self, options: SIDOptions, spec: ModelSpec):
        pairs = read_list(options.root, options.eval_list)[: options.limit]
        super().__init__(options, spec, _raw_pairs(pairs, options))
        left_out = sorted({pair.scene for pair in pairs} & set(options.exclude))
        # What the report must say of the pairs that it does not count.
        self.note = f"left out of the means as misaligned: {', '.join(left_out)}" if left_out else ""


def _raw_pairs(pairs: list[Pair], options: SIDOptions) -> list[RawPair]:
    return [
        RawPair(
            pair.short,
            pair.long,
            pair.ratio(options.max_ratio),
            pair.group,
            pair.scene not in options.exclude,
        )
        for pair in pairs
    ]
