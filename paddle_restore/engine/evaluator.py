"""Metrics of a network over an evaluation dataset, beside a baseline that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from paddle_restore.data.image import to_integer, write_image
from paddle_restore.engine import distributed
from paddle_restore.engine.signals import Stopped, StopRequest
from paddle_restore.errors import UserError
from paddle_restore.inference.forward import Averaging, Network, restore_frame
from paddle_restore.metrics import evaluate as measure
from paddle_restore.models.spec import ModelSpec

BASELINE = "baseline"


def evaluate(
    network: Network,
    spec: ModelSpec,
    dataset: Any,
    metrics: tuple[str, ...],
    rank: int = 0,
    world: int = 1,
    on_picture: Optional[Callable[[str, dict[str, np.ndarray]], None]] = None,
    averaging: Optional[Averaging] = None,
    stop: Optional[StopRequest] = None,
) -> list[dict[str, Any]]:
    """Return a row a picture, in the dataset's order: name, group, counted, metrics and baseline.

    Each process takes every `world`-th picture and all get all rows, so that the means do not
    depend on their number. `on_picture(name, {input|out|gt: (H, W, 3)})` sees every picture.
    Raises Stopped, on all processes, where `stop` asked one of them to before it had measured its part.
    """
    rows: list[dict[str, Any]] = []
    failures: list[UserError] = []
    indices = range(rank, len(dataset), world)
    try:
        for index in tqdm(indices, desc="eval", leave=False, disable=None if rank == 0 else True):
            if stop and stop.requested:
                break
            sample = dataset.sample(index)
            pictures = _pictures(sample, restore_frame(network, spec, sample["input"], averaging))
            rows.append({"index": index, **_row(sample, pictures, metrics)})
            if on_picture:
                on_picture(sample["name"], pictures)
    except UserError as error:
        failures.append(error)
    # All learn of it, or the others would wait for a process that has gone.
    rows, failures = distributed.gather(rows, world), distributed.gather(failures, world)
    if failures:
        raise failures[0]
    if len(rows) < len(dataset):
        raise Stopped
    return sorted(rows, key=lambda row: row["index"])


def _pictures(sample: dict[str, Any], output: np.ndarray) -> dict[str, np.ndarray]:
    # The baseline is what one had without the network: the amplified or the noisy picture.
    baseline = sample.get("baseline", sample["input"])
    pictures = {"out": output, "gt": sample["target"], "input": baseline}
    return {name: picture.transpose(1, 2, 0) for name, picture in pictures.items()}


def _row(sample: dict[str, Any], pictures: dict[str, np.ndarray], metrics: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": sample["name"],
        "group": sample.get("group", ""),
        "counted": sample.get("counted", True),
        **measure(pictures["out"], pictures["gt"], metrics),
        BASELINE: measure(pictures["input"], pictures["gt"], metrics),
    }


def means(rows: list[dict[str, Any]], metrics: tuple[str, ...]) -> dict[str, float]:
    """Mean of each metric over the rows that count."""
    counted = [row for row in rows if row["counted"]]
    return {name: float(np.mean([row[name] for row in counted])) for name in metrics} if counted else {}


def report(rows: list[dict[str, Any]], metrics: tuple[str, ...], note: str = "") -> str:
    """Return a table: all pairs, then each group, the network's metrics beside the baseline's."""
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


def picture_saver(folder: Path) -> Callable[[str, dict[str, np.ndarray]], None]:
    """Write NAME_out.png, NAME_gt.png and NAME_scale.png (the input scaled to the target's mean)."""

    def save(name: str, pictures: dict[str, np.ndarray]) -> None:
        for kind, suffix in (("out", "out"), ("gt", "gt"), ("input", "scale")):
            write_image(folder / f"{name}_{suffix}.png", to_integer(pictures[kind]))

    return save


def side_by_side(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Input, output and target in one uint8 picture."""
    return np.concatenate([to_integer(pictures[kind]) for kind in ("input", "out", "gt")], axis=1)
