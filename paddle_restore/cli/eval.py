"""Measure a network on a recipe's evaluation data.

Several weights are measured on the same pictures, and a table at the end has one row for each: its metrics,
parameters and time. RECIPE=FILE measures the network of another recipe, on the data and by the metrics of
-c; so InvDN can stand beside MIRNetV2.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paddle_restore.cli.common import (
    add_averaging,
    add_device,
    add_recipe,
    averaging_of,
    load_model,
)
from paddle_restore.devices import use_device
from paddle_restore.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from paddle_restore.engine.config import Config
    from paddle_restore.inference.backends import Network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    add_device(parser)
    add_averaging(parser)
    parser.add_argument(
        "--weights",
        required=True,
        nargs="+",
        metavar="[RECIPE=]FILE",
        help="model.pdparams; several give one table of all",
    )
    parser.add_argument(
        "--save_images",
        type=Path,
        metavar="DIR",
        help="write out, gt and scale pictures (of one network)",
    )


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.config import load_config
    from paddle_restore.engine.signals import end_with_launcher

    end_with_launcher()
    averaging = averaging_of(args)
    config = load_config(args.config, tuple(args.override))
    if args.save_images and len(args.weights) > 1:
        raise UserError(
            "--save_images: is for one network; the pictures of several would have the same names"
        )
    candidates = [_candidate(config, given) for given in args.weights]
    use_device(args.device)
    from tabulate import tabulate

    from paddle_restore.data.datasets import DATASETS
    from paddle_restore.engine import distributed
    from paddle_restore.engine.evaluator import evaluate, means, picture_saver, report
    from paddle_restore.inference.eager import EagerNetwork
    from paddle_restore.metrics.complexity import measure_cost

    rank, world = distributed.init()
    metrics, table = config.eval.metrics, []
    for network_config, weights in candidates:
        model = load_model(network_config, weights)
        dataset = DATASETS[config.data.kind].eval(config.data, model.spec)
        save = picture_saver(args.save_images) if args.save_images else None
        network = _Timed(EagerNetwork(model))
        rows = evaluate(
            network, model.spec, dataset, metrics, rank, world, on_picture=save, averaging=averaging
        )
        if rank:
            continue
        if len(candidates) > 1:
            print(f"{network_config.model.id}, {weights}")
        for row in rows:
            values = ", ".join(f"{name}: {row[name]:.4f}" for name in metrics)
            print(f"image_name: {row['name']}, {values}" + ("" if row["counted"] else ", not counted"))
        print(f"evaluated with {averaging}")
        print(report(rows, metrics, dataset.note))
        mean = means(rows, metrics)
        print("[eval] " + ", ".join(f"{name}: {value:.4f}" for name, value in mean.items()))
        shown = [f"{mean[name]:.4f}" if name in mean else "" for name in metrics]
        seconds = network.seconds / max(1, len(range(0, len(dataset), world)))
        parameters = f"{measure_cost(model).parameters:,}"
        table.append([network_config.model.id, weights, *shown, parameters, f"{seconds:.3f}"])
    if len(table) > 1:
        headers = ["network", "weights", *metrics, "parameters", "s per picture"]
        print(tabulate(table, headers, tablefmt="github", disable_numparse=True))
    return 0


def _candidate(config: Config, given: str) -> tuple[Config, Path]:
    """Return the recipe of the network and the weights that `FILE` or `RECIPE=FILE` means."""
    from paddle_restore.engine.config import load_config

    recipe, separator, weights = given.partition("=")
    if not separator or Path(given).exists():
        return config, Path(given)
    return load_config(Path(recipe), ()), Path(weights)


class _Timed:
    """A network that adds up its time."""

    def __init__(self, network: Network):
        self._network, self.seconds = network, 0.0

    def __call__(self, *inputs: np.ndarray) -> Any:
        start = time.perf_counter()
        output = self._network(*inputs)
        self.seconds += time.perf_counter() - start
        return output
