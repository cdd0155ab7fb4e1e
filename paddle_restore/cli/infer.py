"""Restore a file or a folder with an exported folder, by Paddle Inference."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import add_averaging, add_device, averaging_of, boolean, use_device
from paddle_restore.cli.restore_files import add_files, restore_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_dir", type=Path, required=True, help="exported folder")
    add_device(parser)
    add_averaging(parser)
    add_files(parser)
    parser.add_argument(
        "--benchmark", type=boolean, default=False, metavar="true|false", help="print AutoLog's report"
    )


def run(args: argparse.Namespace) -> int:
    from paddle_restore.inference.package import read_package

    averaging = averaging_of(args)
    package = read_package(args.model_dir)
    device = use_device(args.device)
    from paddle_restore.inference.backends.paddle import PaddleNetwork
    from paddle_restore.inference.report import Recorder
    from paddle_restore.inference.restorer import Restorer

    network = PaddleNetwork(args.model_dir, device)
    recorder = Recorder(package.name, device, network.threads, network.config) if args.benchmark else None
    restorer = Restorer(network, package.model_spec, package.preprocess, averaging)
    code = restore_files(restorer, args, recorder)
    if recorder:
        recorder.report()
    return code
