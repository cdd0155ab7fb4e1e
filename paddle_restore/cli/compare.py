"""Put pictures of one size side by side: before, after, target."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from paddle_restore.data.image import read_image, to_float, write_image
from paddle_restore.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", type=Path, nargs="+", help="from left to right")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    pictures = [to_float(read_image(path)) for path in args.pictures]
    for path, picture in zip(args.pictures, pictures):
        if picture.shape != pictures[0].shape:
            raise UserError(f"{path}: has another size than {args.pictures[0]}")
    write_image(args.output, np.concatenate(pictures, axis=1))
    print(f"{' | '.join(path.name for path in args.pictures)} -> {args.output}")
    return 0
