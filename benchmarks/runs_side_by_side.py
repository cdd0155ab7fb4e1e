"""Several trained networks on the same scenes in one table: quality and seconds per frame.

    python benchmarks/runs_side_by_side.py RUN [RUN ...]

RUN is a run folder of tools/train.py. Its best weights are evaluated on the evaluation data of its own
recipe, whole frames. The recipes must name the same pairs. If RUN/inference holds the export, Paddle
Inference runs it; otherwise the network's own code runs. Seconds are the median of the network alone over the
frames, after one frame that is not timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.cli.common import load_model
from paddle_restore.devices import use_device
from paddle_restore.engine.config import load_config
from paddle_restore.errors import UserError
from paddle_restore.quiet import say_error


class Timed:
    """A network that remembers how long each frame took."""

    def __init__(self, network):
        self.network, self.seconds = network, []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        if not self.seconds:
            self.network(batch)
        start = time.perf_counter()
        output = self.network(batch)
        self.seconds.append(time.perf_counter() - start)
        return output


def measure(run: Path) -> tuple[list[str], list[list]]:
    """Return the names of the run's pairs, and rows of the table: the network's and its input's."""
    from paddle_restore.data.datasets import DATASETS
    from paddle_restore.engine.evaluator import BASELINE, evaluate, means
    from paddle_restore.inference.backends import open_network
    from paddle_restore.inference.eager import EagerNetwork

    config = load_config(run / "config.yml")
    model = load_model(config, run / "best_model/model.pdparams")
    exported = (run / "inference").is_dir()
    network = Timed(open_network(run / "inference") if exported else EagerNetwork(model))
    dataset = DATASETS[config.data.kind].eval(config.data, model.spec)
    metrics = ("psnr_uint8", "ssim_rgb_matlab")
    rows = evaluate(network, model.spec, dataset, metrics)
    parameters = sum(parameter.size for parameter in model.parameters())
    by = "Paddle Inference" if exported else "own code"
    network_row = [config.name, f"{parameters:,}", *means(rows, metrics).values()]
    network_row += [statistics.median(network.seconds), by]
    baseline = means([{**row, **row[BASELINE]} for row in rows], metrics)
    input_row = ["amplified input", "", *baseline.values(), None, ""]
    return [row["name"] for row in rows], [network_row, input_row]


def main() -> int:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    args = parser.parse_args()
    use_device("cpu")
    table: list[list] = []
    pairs: list[str] = []
    try:
        for run in args.runs:
            names, (network, baseline) = measure(run)
            if pairs and names != pairs:
                raise UserError(f"{run}: was evaluated on other pairs than {args.runs[0]}")
            pairs = names
            table.append(network)
    except UserError as error:
        say_error(error)
        return 2
    headers = ["network", "parameters", "psnr_uint8", "ssim_rgb_matlab", "seconds a frame", "run by"]
    print(f"{len(pairs)} pairs")
    print(tabulate([*table, baseline], headers, tablefmt="github", floatfmt=("", "", ".2f", ".4f", ".3f")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
