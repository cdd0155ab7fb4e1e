"""Measure a network on a recipe's evaluation data."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import (
    add_averaging,
    add_device,
    add_recipe,
    averaging_of,
    load_model,
)
from paddle_restore.devices import use_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    add_device(parser)
    add_averaging(parser)
    parser.add_argument("--weights", type=Path, required=True, help="model.pdparams")
    parser.add_argument("--save_images", type=Path, metavar="DIR", help="write out, gt and scale pictures")


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.config import load_config
    from paddle_restore.engine.signals import end_with_launcher

    end_with_launcher()
    averaging = averaging_of(args)
    config = load_config(args.config, tuple(args.override))
    use_device(args.device)
    from paddle_restore.data.datasets import DATASETS
    from paddle_restore.engine import distributed
    from paddle_restore.engine.evaluator import evaluate, means, picture_saver, report
    from paddle_restore.inference.eager import EagerNetwork

    rank, world = distributed.init()
    model = load_model(config, args.weights)
    dataset = DATASETS[config.data.kind].eval(config.data, model.spec)
    save = picture_saver(args.save_images) if args.save_images else None
    metrics = config.eval.metrics
    rows = evaluate(
        EagerNetwork(model), model.spec, dataset, metrics, rank, world, on_picture=save, averaging=averaging
    )
    if rank == 0:
        for row in rows:
            values = ", ".join(f"{name}: {row[name]:.4f}" for name in metrics)
            print(f"image_name: {row['name']}, {values}" + ("" if row["counted"] else ", not counted"))
        print(f"evaluated with {averaging}")
        print(report(rows, metrics, dataset.note))
        print("[eval] " + ", ".join(f"{name}: {value:.4f}" for name, value in means(rows, metrics).items()))
    return 0
