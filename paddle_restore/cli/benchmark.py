"""Parameters, operations, peak memory and time of networks, side by side.

Sizes are sensor (or picture) pixels, so networks that read a packed frame or the mosaic are compared on the
same photograph. A network given by its id has random weights, which change neither its cost nor its time.

With --compare, every network is run in turns by all backends and precisions that are installed, and by
PyTorch's layers with the same weights where torch is; the outputs are compared too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from paddle_restore.cli.common import add_device, positive
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import DEFAULT, PRECISIONS, find_backends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="ID[,ID...]", help="networks by id, run by their code")
    parser.add_argument(
        "--model_dir", type=Path, nargs="+", default=[], metavar="DIR", help="exported folders"
    )
    parser.add_argument("--input_size", type=_size, default=(1024, 1024), metavar="HxW", help="sensor pixels")
    add_device(parser)
    parser.add_argument(
        "--backend", choices=tuple(find_backends()), default=DEFAULT, help="what runs --model_dir"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of --model_dir")
    parser.add_argument(
        "--compare", action="store_true", help="all backends and precisions, and PyTorch, side by side (CPU)"
    )
    parser.add_argument("--trials", type=positive, default=20, help="timed runs; the paper takes 100")
    parser.add_argument("--warmup", type=positive, default=3, help="runs before, not timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return positive(height), positive(width)


def run(args: argparse.Namespace) -> int:
    from paddle_restore.benchmark import measure, side_by_side
    from paddle_restore.inference.package import read_package
    from paddle_restore.models import model_spec

    models = [id for id in args.model.split(",") if id]
    if not models and not args.model_dir:
        raise UserError("nothing to measure: give --model ID[,ID...] or --model_dir DIR")
    # Find mistakes in the names before measuring.
    for id in models:
        model_spec(id)
    for folder in args.model_dir:
        read_package(folder)
    networks = [(id, False) for id in models] + [(str(folder), True) for folder in args.model_dir]
    if args.compare:
        rows = [
            row
            for network, exported in networks
            for row in side_by_side.compare(network, exported, args.input_size, args.trials, args.warmup)
        ]
        _show(args, rows, [side_by_side.cells(row, rows) for row in rows], side_by_side.HEADERS)
        for row in rows:
            if "failed" in row:
                print(f"{row['network']}, {row['run by']} in {row['precision']}: {row['failed']}")
        return 0
    names = ("input_size", "trials", "warmup", "backend", "precision", "device")
    options = {name: getattr(args, name) for name in names}
    rows = [measure.measure_apart(network=n, exported=exported, **options) for n, exported in networks]
    _show(args, rows, [measure.cells(row) for row in rows], measure.HEADERS)
    return 0


def _show(
    args: argparse.Namespace, rows: list[dict[str, Any]], cells: list[list[str]], headers: Sequence[str]
) -> None:
    height, width = args.input_size
    print(f"frame of {height}x{width} sensor pixels, {args.trials} trials after {args.warmup} to warm up\n")
    print(tabulate(cells, headers, tablefmt="github", disable_numparse=True))
    if args.json:
        from paddle_restore.data.files import atomic_path

        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
