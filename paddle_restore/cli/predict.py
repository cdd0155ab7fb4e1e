"""Restore a file or a folder with a network's own code and a recipe's weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import (
    add_averaging,
    add_device,
    add_recipe,
    add_tiling,
    averaging_of,
    load_model,
    preprocess_of,
)
from paddle_restore.cli.restore_files import add_files, restore_files
from paddle_restore.devices import use_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    add_device(parser)
    add_averaging(parser)
    add_tiling(parser)
    parser.add_argument("--weights", type=Path, required=True, help="model.pdparams")
    add_files(parser)


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.config import load_config

    config = load_config(args.config, tuple(args.override))
    use_device(args.device)
    from paddle_restore.inference.eager import EagerNetwork
    from paddle_restore.inference.forward import Forward
    from paddle_restore.inference.restorer import Restorer, check_tiling

    model = load_model(config, args.weights)
    tiling = check_tiling(args.tile, args.memory)
    forward = Forward(EagerNetwork(model), model.spec, averaging_of(args), tiling, args.batch_size)
    return restore_files(Restorer.of(forward, preprocess_of(config)), args)
