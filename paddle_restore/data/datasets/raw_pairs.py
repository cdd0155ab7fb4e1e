"""Pairs of raw files under any names: a list says which belong together.

A CSV with the header `short,long,ratio`, or a JSON list of objects with these keys. Paths start
from `data.root`; `ratio` is the long exposure over the short one. If `data.noise` is set,
`short` and `ratio` may be left out, in the evaluation list too.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from math import isfinite
from pathlib import Path
from typing import Any, Literal, Optional

from paddle_restore.data.datasets import DATASETS, DatasetKind
from paddle_restore.data.exposures import ExposureOptions, ExposuresEval, ExposuresTrain, RawPair
from paddle_restore.data.files import is_file
from paddle_restore.errors import UserError, did_you_mean, line_of, shortened
from paddle_restore.models.spec import ModelSpec

COLUMNS = ("short", "long", "ratio")


class RawPairsOptions(ExposureOptions):
    """`data:` of a recipe whose `kind` is `raw_pairs`."""

    kind: Literal["raw_pairs"] = "raw_pairs"


class RawPairsTrain(ExposuresTrain):
    """Training samples: an epoch visits every long exposure once, with a random short one of it."""

    def __init__(self, options: RawPairsOptions, spec: ModelSpec, crop: Optional[int] = None):
        super().__init__(options, spec, read_pairs(options, options.train_list), crop)


class RawPairsEval(ExposuresEval):
    """Whole frames of the evaluation list."""

    def __init__(self, options: RawPairsOptions, spec: ModelSpec):
        super().__init__(options, spec, read_pairs(options, options.eval_list))


def read_pairs(options: RawPairsOptions, name: Path) -> list[RawPair]:
    """Read a list. Raises UserError with its first mistake."""
    path = options.root / name
    if not path.is_file():
        raise UserError(f"{path}: no such list; check data.root ({options.root}) and the list's name")
    pairs = [_pair(where, row, options) for where, row in _rows(path)]
    if not pairs:
        raise UserError(f"{path}: the list is empty")
    return pairs


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (list and line for messages, row)."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file; expected CSV or JSON") from None
    if path.suffix.lower() == ".json":
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: is not valid JSON ({line_of(error, 200)})") from None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f'{path}: expected a list such as [{{"short": ..., "long": ..., "ratio": 100}}]')
        for number, row in enumerate(rows, 1):
            _check_columns(f"{path}: entry {number}", row)
            yield f"{path}: entry {number}", row
        return
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True, restkey="surplus")
    try:
        _check_columns(f"{path}:1", reader.fieldnames or ())
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if "surplus" in row:
                raise UserError(f"{where}: has more values than the header has columns")
            yield where, row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: is not valid CSV ({error})") from None


def _check_columns(where: str, names: Collection[Any]) -> None:
    for name in names:
        if name not in COLUMNS:
            raise UserError(
                f"{where}: unknown column {shortened(name)}{did_you_mean(str(name)[:100], COLUMNS)}"
            )
    if "long" not in names:
        raise UserError(f"{where}: column 'long' is missing; expected {','.join(COLUMNS)}")


def _pair(where: str, row: dict[str, Any], options: RawPairsOptions) -> RawPair:
    short, long = (_file(where, row.get(key), options.root) for key in ("short", "long"))
    if long is None:
        raise UserError(f"{where}: names no long exposure")
    if short is None:
        if options.noise is None:
            raise UserError(f"{where}: names no short exposure; add it, or set data.noise to make it")
        return RawPair(None, long, 1.0)
    try:
        ratio = float(row.get("ratio") or "")
    except (TypeError, ValueError):
        ratio = 0.0
    if not (isfinite(ratio) and ratio > 0):
        raise UserError(
            f"{where}: ratio is {shortened(row.get('ratio'))}; "
            "expected long over short exposure time, such as 100"
        )
    return RawPair(short, long, min(ratio, options.max_ratio), f"x{ratio:g}")


def _file(where: str, name: Any, root: Path) -> Optional[Path]:
    if not name:
        return None
    if not isinstance(name, str):
        raise UserError(f"{where}: {shortened(name)} is not a file's name")
    path = root / name.strip()
    if not is_file(path):
        raise UserError(f"{where}: names {line_of(path, 300)}, which does not exist")
    return path


DATASETS.add("raw_pairs", DatasetKind(RawPairsOptions, RawPairsTrain, RawPairsEval))
