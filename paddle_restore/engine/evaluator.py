"""Metrics of a network over an evaluation dataset, beside those of the input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from paddle_restore.data.datasets import EvalDataset, Sample
from paddle_restore.data.files import make_folder
from paddle_restore.data.image import to_integer, write_image
from paddle_restore.engine import distributed
from paddle_restore.engine.signals import Stopped, StopRequest
from paddle_restore.errors import UserError
from paddle_restore.inference.forward import Averaging, Network, restore_frame
from paddle_restore.metrics import evaluate as measure
from paddle_restore.models.spec import ModelSpec

BASELINE = "baseline"

Row = dict[str, Any]
"""One picture's name, the name of its written files (`picture`), group, whether it is counted, its metrics by
name, and under BASELINE the input's."""

Pictures = dict[str, np.ndarray]
"""{input, out, gt: (H, W, 3) in [0, 1]}; without gt where the sample has no target."""

OnPicture = Callable[[Row, Pictures], None]
"""Gets a picture's row and its pictures."""


def evaluate(
    network: Network,
    spec: ModelSpec,
    dataset: EvalDataset,
    metrics: tuple[str, ...],
    rank: int = 0,
    world: int = 1,
    on_picture: Optional[OnPicture] = None,
    averaging: Optional[Averaging] = None,
    stop: Optional[StopRequest] = None,
    border: int = 0,
) -> list[Row]:
    """Return a row for each picture, in the dataset's order.

    Each process takes every `world`-th picture, and all return all rows, so the means do not depend on
    the number of processes. Raises, on all processes, UserError where one of them cannot measure a picture,
    and Stopped where `stop` asked one of them to before it was done.
    """
    rows: list[Row] = []
    failures: list[UserError] = []
    indices = range(rank, len(dataset), world)
    try:
        for index in tqdm(indices, desc="eval", leave=False, disable=None if rank == 0 else True):
            if stop and stop.requested:
                break
            row, pictures = measure_picture(network, spec, dataset.sample(index), metrics, averaging, border)
            rows.append({"index": index, **row})
            if on_picture:
                on_picture(row, pictures)
    except UserError as error:
        failures.append(error)
    # A process that raised at once would leave the others waiting for it.
    rows, failures = distributed.gather(rows, world), distributed.gather(failures, world)
    if failures:
        raise failures[0]
    if len(rows) < len(dataset):
        raise Stopped
    return sorted(rows, key=lambda row: row["index"])


def measure_picture(
    network: Network,
    spec: ModelSpec,
    sample: Sample,
    metrics: tuple[str, ...],
    averaging: Optional[Averaging] = None,
    border: int = 0,
) -> tuple[Row, Pictures]:
    """Restore and measure one sample of an evaluation dataset; `border` pixels at each side are not measured.

    Raises UserError if a metric needs a target and the sample has none.
    """
    # The baseline is the picture that the network improves: amplified raw, or the noisy picture.
    planes = {"input": sample["baseline"] if "baseline" in sample else sample["input"]}
    if "develop" in sample:
        planes["out"] = network(sample["input"][None])[0]
    else:
        planes["out"] = restore_frame(network, spec, sample["input"], averaging)
    if "target" in sample:
        planes["gt"] = sample["target"]
    if "develop" in sample:
        planes = {name: sample["develop"](values) for name, values in planes.items()}
    pictures = {name: picture.transpose(1, 2, 0) for name, picture in planes.items()}
    measured = {name: _without_border(picture, border) for name, picture in pictures.items()}
    row = {
        "name": sample["name"],
        "picture": sample.get("picture", sample["name"]),
        "group": sample.get("group", ""),
        "counted": sample.get("counted", True),
        **measure(measured["out"], measured.get("gt"), metrics),
        BASELINE: measure(measured["input"], measured.get("gt"), metrics),
    }
    return row, pictures


def _without_border(picture: np.ndarray, border: int) -> np.ndarray:
    height, width = picture.shape[:2]
    if min(height, width) <= 2 * border:
        raise UserError(f"eval.border: {border} pixels at each side leave nothing of {width}x{height}")
    return picture[border : height - border, border : width - border]


def means(rows: list[Row], metrics: tuple[str, ...]) -> dict[str, float]:
    """Return the mean of each metric over the counted rows; {} where there are none."""
    counted = [row for row in rows if row["counted"]]
    return {name: float(np.mean([row[name] for row in counted])) for name in metrics} if counted else {}


def report(rows: list[Row], metrics: tuple[str, ...], note: str = "") -> str:
    """Return a table of means: all pictures, then each group; the network's beside the input's."""
    groups = sorted({row["group"] for row in rows if row["group"]}, key=lambda g: (len(g), g))
    lines = []
    for title, members in [("all", rows)] + [(g, [r for r in rows if r["group"] == g]) for g in groups]:
        counted = [row for row in members if row["counted"]]
        network = means(members, metrics)
        baseline = means([{**row, **row[BASELINE]} for row in members], metrics)
        if counted:
            lines.append([title, len(counted)] + [x for m in metrics for x in (network[m], baseline[m])])
    headers = ["pairs", "n"] + [h for m in metrics for h in (m, f"{m} of input")]
    table = tabulate(lines, headers, floatfmt=".4f")
    return f"{table}\n{note}" if note else table


def picture_saver(folder: Path) -> OnPicture:
    """Write NAME_out.png, NAME_gt.png and NAME_scale.png (the baseline) of every picture into `folder`."""
    make_folder(folder)

    def save(row: Row, pictures: Pictures) -> None:
        for kind, picture in pictures.items():
            suffix = "scale" if kind == "input" else kind
            write_image(folder / f"{row['picture']}_{suffix}.png", to_integer(picture))

    return save


def side_by_side(pictures: Pictures) -> np.ndarray:
    """Join input, output and target, in this order, to one uint8 picture."""
    return np.concatenate([to_integer(picture) for picture in pictures.values()], axis=1)
