"""Which files belong together: pictures of one name in two folders, and the lists of the SID data set.

SID is Chen et al., "Learning to See in the Dark", CVPR 2018, section 3. A line of the authors' lists names
a pair: short path, long path, ISO, aperture. File names hold the scene and the exposure:
`00001_00_0.04s.ARW` is scene 00001, first frame of the burst, 0.04 s. The first digit of the scene is its
split: 0 training, 1 test, 2 validation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

from paddle_restore.data.files import is_file, list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import image_size, read_image
from paddle_restore.errors import UserError, line_of, listed, shortened

PAIR_FOLDERS = (
    ("input", "groundtruth"),
    ("Noisy", "GT"),
    ("noisy", "clean"),
    ("lq", "gt"),
    ("input", "target"),
)
"""Names that the folders of noisy and of clean pictures can have."""

LOW_RESOLUTION = "LQ"
"""Folder of the clean pictures, shrunk."""

SID_SPLITS = {"0": "train", "1": "test", "2": "val"}
_SID_NAME = re.compile(r"^(?P<scene>[012]\d{4})_(?P<frame>\d{2})_(?P<seconds>\d+(\.\d+)?)s$")


@dataclass(frozen=True)
class PicturePair:
    """A noisy and a clean picture of one size; `lq` is the file of the shrunk clean picture, if there is one.

    `size` is (height, width), None where one of the two cannot be read.
    """

    noisy: Path
    clean: Path
    size: Optional[tuple[int, int]]
    lq: Optional[Path] = None

    @property
    def name(self) -> str:
        return self.noisy.stem


def pair_folders(folder: str | Path) -> tuple[Path, Path]:
    """Return the folders of noisy and of clean pictures in `folder`. Raises UserError if they are missing."""
    folder = Path(folder)
    for noisy, clean in PAIR_FOLDERS:
        if (folder / noisy).is_dir() and (folder / clean).is_dir():
            return folder / noisy, folder / clean
    names = " or ".join(f"{noisy}/ and {clean}/" for noisy, clean in PAIR_FOLDERS)
    raise UserError(f"{folder}: expected {names} in it; check data.root and the sub-folders' names")


def match_pairs(
    folder: str | Path, limit: Optional[int] = None, unreadable: bool = False
) -> list[PicturePair]:
    """Return the pairs of a folder in order of name. Names are compared without their suffix.

    Raises UserError that lists the pictures without a partner, or the pairs that differ in size. A picture
    that cannot be read raises UserError too, unless `unreadable` ones are allowed.
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
        size = None
        try:
            size, other = image_size(noisy[name]), image_size(clean[name])
            if size != other:
                unequal.append(f"{noisy[name]} {size_text(size)} and {clean[name]} {size_text(other)}")
        except UserError:
            if not unreadable:
                raise
        pairs.append(PicturePair(noisy[name], clean[name], size, lq.get(name)))
    if unequal:
        raise UserError(f"{folder}: {len(unequal)} pairs differ in size: {listed(unequal)}")
    return pairs


def split_pairs(pairs: Sequence[PicturePair], fraction: float) -> tuple[list[PicturePair], list[PicturePair]]:
    """Return (pairs to train on, pairs to evaluate on): the latter a `fraction`, at least one.

    A hash of its name says where a pair goes, so it stays there when the data set changes little.
    Raises UserError where there are too few for two parts.
    """
    if len(pairs) < 2:
        raise UserError(f"data.val_fraction: {len(pairs)} pair cannot be split into two parts")
    count = min(max(1, round(fraction * len(pairs))), len(pairs) - 1)
    order = sorted(pairs, key=lambda pair: hashlib.sha256(pair.name.encode()).digest())
    chosen = set(order[:count])
    return [pair for pair in pairs if pair not in chosen], [pair for pair in pairs if pair in chosen]


def read_pair(noisy: Path, clean: Path) -> tuple[np.ndarray, np.ndarray]:
    """Decode both pictures, (H, W, 3) each. Raises UserError if one is broken or they differ in size."""
    pictures = read_image(noisy), read_image(clean)
    if pictures[0].shape != pictures[1].shape:
        raise UserError(f"{noisy} and {clean} differ in size")
    return pictures


def size_text(size: Sequence[int]) -> str:
    """Return (height, width, ...) as "width x height" for messages."""
    return f"{size[1]}x{size[0]}"


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in list_files(folder, is_picture, "pictures"):
        if file.stem in files:
            raise UserError(f"{folder}: {files[file.stem].name} and {file.name} have the same name")
        files[file.stem] = file
    return files


@dataclass(frozen=True)
class SIDPair:
    """One line of a SID list."""

    short: Path
    long: Path

    @property
    def scene(self) -> str:
        return parse_name(self.short)["scene"]

    @property
    def frame(self) -> str:
        """Place of the short file in its burst: 00, 01, ..."""
        return parse_name(self.short)["frame"]

    def ratio(self, max_ratio: float = 300.0) -> float:
        """Return the amplification: long over short exposure time, at most `max_ratio`."""
        long, short = (float(parse_name(path)["seconds"]) for path in (self.long, self.short))
        return min(long / short, max_ratio)

    @property
    def group(self) -> str:
        """Ratio class of the published tables: x100, x250 or x300."""
        return f"x{self.ratio():.0f}"


def parse_name(path: Path) -> dict[str, str]:
    """Return `scene`, `frame` and `seconds` of a SID file name. Raises UserError for other names."""
    match = _SID_NAME.match(path.stem)
    if not match:
        raise UserError(f"{line_of(path, 300)}: not a SID file name such as 00001_00_0.04s.ARW")
    return match.groupdict()


def read_list(root: Path, name: Path, shorts: bool = True) -> list[SIDPair]:
    """Read a list in the authors' format. Raises UserError if a file that it names is missing.

    `shorts` False allows short files to be missing, for training on synthetic noise.
    """
    path, pairs = root / name, []
    for number, pair in parse_list(root, name):
        for file in (pair.short, pair.long) if shorts else (pair.long,):
            if not is_file(file):
                raise UserError(f"{path}:{number}: names {line_of(file, 300)}, which does not exist")
        pairs.append(pair)
    if not pairs:
        raise UserError(f"{path}: the list is empty")
    return pairs


def parse_list(root: Path, name: Path) -> Iterator[tuple[int, SIDPair]]:
    """Yield (line number, pair) of a list in the authors' format, whether or not the files exist."""
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
            got = shortened(line.strip())
            raise UserError(f"{path}:{number}: expected a short and a long path, got {got}")
        pair = SIDPair(root / words[0], root / words[1])
        for file in (pair.short, pair.long):
            parse_name(file)
        yield number, pair


def match_target(path: Path, targets: Sequence[Path]) -> Path:
    """Return the reference of a file: the only one, the one of its name, or the one of its SID scene.

    Raises UserError if none fits.
    """
    if len(targets) == 1:
        return targets[0]
    scene = _SID_NAME.match(path.stem)
    for target in targets:
        other = _SID_NAME.match(target.stem)
        if target.stem == path.stem or (scene and other and other["scene"] == scene["scene"]):
            return target
    raise UserError(f"{path}: no file in {targets[0].parent} has its name or its SID scene number")
