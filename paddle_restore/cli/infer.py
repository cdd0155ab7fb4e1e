"""Restore files with an exported folder, by Paddle Inference, ONNX Runtime or OpenVINO."""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.cli.common import add_restorer, boolean, restorer_of
from paddle_restore.cli.restore_files import add_files, restore_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model_dir", type=Path, required=True, help="exported folder")
    add_restorer(parser)
    add_files(parser)
    parser.add_argument(
        "--benchmark", type=boolean, default=False, metavar="true|false", help="print AutoLog's report"
    )


def run(args: argparse.Namespace) -> int:
    from paddle_restore.inference.package import read_package

    package = read_package(args.model_dir)
    restorer = restorer_of(args, args.model_dir)
    from paddle_restore.inference.report import Recorder

    network = restorer.forward.network
    recorder = None
    if args.benchmark:
        recorder = Recorder(
            package.name,
            args.device,
            network.threads,
            args.precision,
            args.batch_size,
            getattr(network, "config", None),
        )
    code = restore_files(restorer, args, recorder)
    if recorder:
        recorder.report()
    return code
