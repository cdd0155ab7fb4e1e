"""Serve exported folders by HTTP, with a page for people at / and an interface for programs at /v1."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from paddle_restore.cli.common import add_backend, positive
from paddle_restore.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model_dir",
        type=Path,
        nargs="+",
        action="extend",
        required=True,
        metavar="DIR",
        help="exported folders; every worker opens them all",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine only (%(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="0 takes a free one; default: %(default)s")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="files at once")
    parser.add_argument(
        "--queue", type=int, default=16, metavar="N", help="requests that may wait; more are refused at once"
    )
    parser.add_argument("--max_mb", type=positive, default=128, metavar="N", help="MB of a file")
    parser.add_argument("--max_mp", type=positive, default=64, metavar="N", help="megapixels of a file")
    parser.add_argument("--seconds", type=float, default=120.0, metavar="S", help="that a file may take")
    parser.add_argument(
        "--worker_memory",
        type=float,
        default=4.0,
        metavar="GB",
        help="above it a worker is stopped and replaced",
    )
    parser.add_argument(
        "--memory", type=float, default=1.0, metavar="GB", help="working memory by which tiles are chosen"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="of each worker (default: its share)")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    add_backend(parser)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError("must be a whole number from 0 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    try:
        from paddle_restore.serving.server import serve
        from paddle_restore.serving.settings import TOKEN, Settings
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs {error.name}: pip install 'paddle_restore[serve]'") from None
    return serve(
        Settings(
            model_dirs=tuple(args.model_dir),
            host=args.host,
            port=args.port,
            workers=args.workers,
            queue=args.queue,
            max_body=args.max_mb * 1_000_000,
            max_pixels=args.max_mp * 1_000_000,
            seconds=args.seconds,
            worker_memory=args.worker_memory * 1e9,
            memory=args.memory,
            threads=args.threads,
            device=args.device,
            backend=args.backend,
            precision=args.precision,
            token=os.environ.get(TOKEN),
        )
    )
