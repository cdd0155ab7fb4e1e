"""Export a network as a graph for Paddle Inference or as ONNX, checked against its own code."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import add_recipe, load_model, preprocess_of
from paddle_restore.devices import use_device
from paddle_restore.inference.package import GRAPHS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--weights", type=Path, required=True, help="model.pdparams")
    parser.add_argument("--save_inference_dir", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--format",
        choices=tuple(GRAPHS),
        default="paddle",
        help="model.json with model.pdiparams, model.onnx (for ONNX Runtime and OpenVINO), or both",
    )
    parser.add_argument(
        "--legacy", action="store_true", help="model.pdmodel instead of model.json, for PaddlePaddle 2.6"
    )
    parser.add_argument(
        "--noise",
        choices=("input", "inside"),
        default="input",
        help="a latent's noise: the graph's second input, or drawn by the graph",
    )


def run(args: argparse.Namespace) -> int:
    from paddle_restore.engine.config import load_config

    config = load_config(args.config, tuple(args.override))
    use_device("cpu")
    from paddle_restore.inference.export import export

    model = load_model(config, args.weights)
    folder = args.save_inference_dir
    preprocess = preprocess_of(config)
    inside = args.noise == "inside"
    metrics = config.eval.metrics
    package = export(model, folder, config.model.id, preprocess, inside, args.format, args.legacy, metrics)
    for check in package.checks:
        shape = list(check.input_shape)
        print(f"checked {check.graph} on input {shape}: largest difference {check.max_difference:.2e}")
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / 2**20
    print(f"exported {config.model.id} to {folder} ({size:.1f} MiB)")
    return 0
