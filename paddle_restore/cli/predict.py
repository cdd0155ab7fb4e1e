"""Restore a file or a folder with a network's own code and a recipe's weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import (
    add_averaging,
    add_device,
    add_recipe,
    averaging_of,
    load_model,
    preprocess_of,
    use_device,
)
from paddle_restore.cli.restore_files import add_files, restore_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    add_device(parser)
    add_averaging(parser)
    parser.add_argument("--weights", type=Path, required=True, help="model.pdparams")
    add_files(parser)


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.config import load_config

    config = load_config(args.config, tuple(args.override))
    use_device(args.device)
    from paddle_restore.inference.backends.eager import EagerNetwork
    from paddle_restore.inference.restorer import Restorer

    model = load_model(config, args.weights)
    restorer = Restorer(EagerNetwork(model), model.spec, preprocess_of(config), averaging_of(args))
    return restore_files(restorer, args)
