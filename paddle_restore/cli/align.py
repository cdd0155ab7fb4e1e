"""Compare networks with their authors' code by the steps of Paddle's reproduction guide.

Rebuilds the weights of the golden values, compares data, metric, forward, loss, backward and five training
steps, prints one table and writes STEP_paddle.npy, STEP_ref.npy and STEP_diff.log for each step. The exit
code is 1 if a difference is above its threshold.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="all", metavar="ID|all", help="the network; default: all of DIR")
    parser.add_argument("--golden", type=Path, required=True, metavar="DIR", help="such as tests/golden")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="with all: a folder for each network"
    )


def run(args: argparse.Namespace) -> int:
    from tabulate import tabulate

    from paddle_restore.alignment import GoldenFolder, align, aligned_models, compare, golden_of, write
    from paddle_restore.alignment.differences import import_reprod_log
    from paddle_restore.devices import use_device

    import_reprod_log()  # before minutes of work
    folder = GoldenFolder(args.golden)
    ids = sorted({*aligned_models(), *folder.own()}) if args.model == "all" else [args.model]
    goldens = {id: golden_of(id, folder) for id in ids}
    if args.model == "all":  # a folder of one's own has few networks
        ids = [id for id, golden in goldens.items() if folder.holds(golden)]
    use_device("cpu")  # where the golden values were made: a GPU rounds float32 further away
    rows = []
    for id in ids:
        output = args.output / id if args.model == "all" else args.output
        for step, ours, reference in align(id, folder):
            write(output, step, ours, reference)
            rows.append(compare(id, step, ours, reference))
    lines = [
        {
            "network": row.network,
            "step": row.step,
            "largest difference": f"{row.difference:.1e}",
            "threshold": f"{row.threshold:.0e}",
            "passed": "yes" if row.passed else "NO",
        }
        for row in rows
    ]
    print(tabulate(lines, "keys", disable_numparse=True))
    return 0 if all(row.passed for row in rows) else 1
