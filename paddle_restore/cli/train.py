"""Train a network from a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import add_device, add_recipe, use_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    add_device(parser)
    parser.add_argument("--output_dir", type=Path, help="run folder (default: output/NAME of the recipe)")
    parser.add_argument(
        "--resume", metavar="auto|DIR", help="go on from the run folder's or DIR's checkpoint"
    )
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds a run")
    parser.add_argument("--seed", type=int, help="in place of the recipe's seed")


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.config import load_config

    seed = [] if args.seed is None else [f"seed={args.seed}"]
    config = load_config(args.config, (*args.override, *seed))
    use_device(args.device)
    from paddle_restore.engine.run import choose_checkpoint
    from paddle_restore.engine.trainer import train

    folder = args.output_dir or Path("output") / config.name
    resume = choose_checkpoint(folder, args.resume, args.overwrite)
    train(config, folder, resume, overwrite=args.overwrite and resume is None)
    return 0
