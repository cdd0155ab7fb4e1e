"""Measure pictures: without a reference, and against one where --target gives it.

NIQE needs --niqe_parameters, the statistics of undistorted photographs; docs/metrics.md says where a
file comes from. Scores by different files cannot be compared.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import numpy as np
from tabulate import tabulate

from paddle_restore.errors import UserError

if TYPE_CHECKING:
    from paddle_restore.data.niqe_parameters import NIQEParameters

FIDELITY = ("psnr_uint8", "ssim_rgb_matlab", "ssim_skimage_uint8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, required=True, help="picture, or folder of pictures")
    parser.add_argument("--target", type=Path, help="reference picture, or folder with the same names")
    parser.add_argument(
        "--niqe_parameters", type=Path, metavar="FILE", help=".mat or .npz; without it no NIQE"
    )


def run(args: argparse.Namespace) -> int:
    from paddle_restore.data.files import list_files
    from paddle_restore.data.formats import is_picture
    from paddle_restore.data.niqe_parameters import read_niqe_parameters

    parameters = read_niqe_parameters(args.niqe_parameters) if args.niqe_parameters else None
    pictures = list_files(args.input, is_picture, "pictures")
    targets = list_files(args.target, is_picture, "pictures") if args.target else []
    rows = {path.name: _measure(path, targets, parameters) for path in pictures}
    names = list(next(iter(rows.values())))
    lines = [[name, *row.values()] for name, row in rows.items()]
    if len(rows) > 1:
        lines.append(["mean", *(float(np.mean([row[name] for row in rows.values()])) for name in names)])
    print(tabulate(lines, ["picture", *names], tablefmt="github", floatfmt=".4f"))
    print(
        f"niqe: parameters of {parameters.name}" if parameters else "niqe: not measured (--niqe_parameters)"
    )
    if targets and "delta_e2000" not in names:
        print("delta_e2000: not measured (scikit-image is not installed)")
    return 0


def _measure(path: Path, targets: list[Path], parameters: Optional[NIQEParameters]) -> dict[str, float]:
    from paddle_restore.data.image import read_image
    from paddle_restore.data.matching import match_target
    from paddle_restore.data.pixels import to_float
    from paddle_restore.metrics import PROTOCOLS, evaluate
    from paddle_restore.metrics.niqe import niqe

    picture, target = to_float(read_image(path)), None
    names = [protocol.name for protocol in PROTOCOLS.values() if not protocol.needs_reference]
    try:
        row = {"niqe": niqe(picture, parameters.mean, parameters.covariance)} if parameters else {}
        if targets:
            target = to_float(read_image(match_target(path, targets)))
            names += [*FIDELITY, *(["delta_e2000"] if find_spec("skimage") else [])]
        return row | evaluate(picture, target, names)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
