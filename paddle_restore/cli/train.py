"""Train a network from a recipe.

SIGTERM and SIGUSR1 stop the training after the running iteration: it saves and exits with code 75. Run
the same command with --resume auto to continue.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import add_device, add_recipe
from paddle_restore.devices import use_device
from paddle_restore.quiet import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    add_device(parser)
    parser.add_argument("--output_dir", type=Path, help="run folder (default: output/NAME of the recipe)")
    parser.add_argument(
        "--resume", metavar="auto|DIR", help="resume from the checkpoint of the run folder or of DIR"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remove the run in the folder and start again"
    )
    parser.add_argument("--seed", type=int, help="replaces the seed of the recipe")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="build everything, run a train and an eval step, print sizes and memory; write nothing",
    )


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.signals import STOPPED, Stopped, StopRequest, end_with_launcher

    end_with_launcher()
    stop = StopRequest()
    if not args.dry_run:
        stop.listen()  # before Paddle is imported, which can take seconds
    from paddle_restore.engine.config import load_config

    seed = [] if args.seed is None else [f"seed={args.seed}"]
    config = load_config(args.config, (*args.override, *seed))
    use_device(args.device)
    from paddle_restore.engine.checkpoint import choose_checkpoint
    from paddle_restore.engine.trainer import train

    folder = args.output_dir or Path("output") / config.name
    if args.dry_run:
        from paddle_restore.engine.dry_run import dry_run

        dry_run(config, folder, choose_checkpoint(folder, args.resume, True) if args.resume else None)
        return 0
    stop.listen()  # again, because Paddle sets its own SIGTERM handler when it is imported
    resume = choose_checkpoint(folder, args.resume, args.overwrite)
    overwrite = args.overwrite and (resume is None or resume.resolve().parent != folder.resolve())
    try:
        train(config, folder, resume, overwrite, stop)
    except Stopped as stopped:
        stop.ignore()
        say(str(stopped))
        return STOPPED
    stop.ignore()
    return 0
