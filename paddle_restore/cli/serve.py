"""Serve the model of the package, or exported folders, by HTTP.

A page for people is at /, and an interface for programs at /v1.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from paddle_restore.cli.common import add_backend, device_name, positive
from paddle_restore.errors import UserError
from paddle_restore.serving.settings import TOKEN, Settings
from paddle_restore.shipped import PICTURES, RAW, shipped_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model_dir",
        dest="model_dirs",
        type=Path,
        nargs="+",
        action="extend",
        metavar="[NAME=]DIR",
        help="exported folders, which every worker opens; NAME is how clients choose one (default: the "
        "networks for noisy pictures and raw files that come with the package)",
    )
    parser.add_argument("--host", default=Settings.host, help="default: this machine only (%(default)s)")
    parser.add_argument(
        "--port", type=_port, default=Settings.port, help="0 takes a free one; default: %(default)s"
    )
    _add_limit(parser, "--workers", "N", positive, "files that are restored at once")
    _add_limit(parser, "--queue", "N", int, "requests that may wait; more are refused at once")
    _add_limit(parser, "--max_mb", "N", positive, "size of a request in MB of 1,000,000 bytes")
    _add_limit(parser, "--max_mp", "N", positive, "megapixels of a file")
    _add_limit(parser, "--seconds", "S", float, "time that a file may take")
    _add_limit(
        parser, "--transfer_seconds", "S", float, "time that sending a file, or fetching a picture, may take"
    )
    _add_limit(parser, "--worker_memory", "GB", float, "a worker that takes more is stopped and replaced")
    _add_limit(parser, "--memory", "GB", float, "working memory by which tiles are chosen")
    parser.add_argument("--threads", type=positive, metavar="N", help="of each worker (default: its share)")
    parser.add_argument(
        "--device", type=device_name, metavar="cpu|gpu|gpu:N", default=Settings.device, help="default: cpu"
    )
    add_backend(parser)


def _add_limit(
    parser: argparse.ArgumentParser, option: str, unit: str, kind: Callable[[str], float], text: str
) -> None:
    default = getattr(Settings, option[2:])
    parser.add_argument(
        option, type=kind, default=default, metavar=unit, help=f"{text} (default: {default:g})"
    )


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError("must be a whole number from 0 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    try:
        from paddle_restore.serving.server import serve
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs {error.name}: pip install 'paddle_restore[serve]'") from None
    options = {field.name: getattr(args, field.name) for field in fields(Settings) if field.name in args}
    options["model_dirs"] = tuple(args.model_dirs or map(shipped_folder, (PICTURES, RAW)))
    return serve(Settings(**options, token=os.environ.get(TOKEN)))
