"""Restore photographs: raw files or pictures, of any size, with a model that is ready to run."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import add_restorer, restorer_of
from paddle_restore.cli.restore_files import add_files, restore_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="DIR|ID", help="exported folder, or a network's id with --weights"
    )
    parser.add_argument("--weights", type=Path, help="model.pdparams, for a network's id")
    add_restorer(parser)
    add_files(parser, positional=True)


def run(args: argparse.Namespace) -> int:
    return restore_files(restorer_of(args, args.model, args.weights), args)
