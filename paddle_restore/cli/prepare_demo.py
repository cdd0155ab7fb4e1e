"""Make the demo data: small SID trees of Bayer and X-Trans raw files, and noisy and clean pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from tabulate import tabulate

from paddle_restore.data.files import make_folder
from paddle_restore.data.synthetic import scenes
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.errors import UserError
from paddle_restore.recipe_files import recipe_folder

CAMERA = recipe_folder() / "cameras/sony_a7s2.yml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("data/demo"), metavar="DIR")
    parser.add_argument("--kind", choices=[*scenes.KINDS, "all"], default="all", help="raw scenes, pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--camera", type=Path, default=CAMERA, help="sensor (YAML)")
    parser.add_argument("--force", action="store_true", help="make it again even if it is there")


def run(args: argparse.Namespace) -> int:
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: must be 0 or more")
    camera = load_camera(args.camera)
    make_folder(args.output)
    for kind in scenes.KINDS if args.kind == "all" else [args.kind]:
        rows = scenes.write_demo(kind, args.output, camera, args.seed, args.force)
        if rows is None:
            print(f"{args.output}: the {kind} demo is there already (--force makes it again)")
            continue
        print(tabulate(rows, ["scene", "split", "photograph", "size", "pattern", "exposure"]))
        print(f"{kind} demo written to {args.output / 'pairs' if kind == 'srgb' else args.output}")
    return 0
