"""Restore files with an exported folder, by Paddle Inference, ONNX Runtime or OpenVINO."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import (
    add_averaging,
    add_backend,
    add_device,
    add_tiling,
    averaging_of,
    boolean,
    use_device,
)
from paddle_restore.cli.restore_files import add_files, restore_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_dir", type=Path, required=True, help="exported folder")
    add_backend(parser)
    add_device(parser)
    add_averaging(parser)
    add_tiling(parser)
    add_files(parser)
    parser.add_argument(
        "--benchmark", type=boolean, default=False, metavar="true|false", help="print AutoLog's report"
    )


def run(args: argparse.Namespace) -> int:
    averaging = averaging_of(args)
    device = use_device(args.device)
    from paddle_restore.inference.package import read_package
    from paddle_restore.inference.report import Recorder
    from paddle_restore.inference.restorer import Restorer

    package = read_package(args.model_dir)
    restorer = Restorer(
        args.model_dir,
        None,
        args.backend,
        args.precision,
        device,
        args.tile,
        args.memory,
        args.batch_size,
        averaging,
    )
    network = restorer.forward.network
    recorder = None
    if args.benchmark:
        recorder = Recorder(package.name, device, network.threads, getattr(network, "config", None))
    code = restore_files(restorer, args, recorder)
    if recorder:
        recorder.report()
    return code
