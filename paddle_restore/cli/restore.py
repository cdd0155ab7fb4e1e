"""Restore photographs: raw files or pictures, of any size, with a model that is ready to run."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import (
    add_averaging,
    add_backend,
    add_device,
    add_tiling,
    averaging_of,
    use_device,
)
from paddle_restore.cli.restore_files import add_files, restore_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="DIR|ID", help="exported folder, or a network's id with --weights"
    )
    parser.add_argument("--weights", type=Path, help="model.pdparams, for a network's id")
    add_backend(parser)
    add_device(parser)
    add_averaging(parser)
    add_tiling(parser)
    add_files(parser, positional=True)


def run(args: argparse.Namespace) -> int:
    averaging = averaging_of(args)
    device = use_device(args.device)
    from paddle_restore.inference.restorer import Restorer

    restorer = Restorer(
        args.model,
        args.weights,
        args.backend,
        args.precision,
        device,
        args.tile,
        args.memory,
        args.batch_size,
        averaging,
    )
    return restore_files(restorer, args)
