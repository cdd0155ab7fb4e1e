"""Make the demo data: a small SID tree of raw files, and noisy and clean pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tabulate import tabulate

from paddle_restore.data.files import atomic_path, make_folder
from paddle_restore.data.synthetic import scenes
from paddle_restore.data.synthetic.noise import load_camera

# Raised whenever other files come out of the same seed.
VERSION = 1
CAMERA = Path(__file__).resolve().parents[2] / "configs/cameras/sony_a7s2.yml"
KINDS = {"sid": scenes.write_sid_tree, "srgb": scenes.write_srgb_pairs}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("data/demo"), metavar="DIR")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all", help="raw scenes, pictures or both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--camera", type=Path, default=CAMERA, help="sensor (YAML)")
    parser.add_argument("--force", action="store_true", help="make it anew even if it is there")


def run(args: argparse.Namespace) -> int:
    camera = load_camera(args.camera)
    make_folder(args.output)
    for kind, write in KINDS.items():
        if args.kind not in (kind, "all"):
            continue
        # Written last: a folder with it is whole.
        manifest = args.output / f"{kind}.json"
        wanted = {"version": VERSION, "seed": args.seed, "camera": camera.model_dump(mode="json")}
        if manifest.is_file() and json.loads(manifest.read_text()) == wanted and not args.force:
            print(f"{args.output}: the {kind} demo is there already (--force makes it anew)")
            continue
        manifest.unlink(missing_ok=True)
        folder = args.output / "pairs" if kind == "srgb" else args.output
        rows = list(write(folder, camera, args.seed))
        print(tabulate(rows, ["scene", "split", "photograph", "size", "pattern", "exposure"]))
        with atomic_path(args.output / "README.txt") as path:
            path.write_text(scenes.SOURCES, encoding="utf-8")
        with atomic_path(manifest) as path:
            path.write_text(json.dumps(wanted), encoding="utf-8")
        print(f"{kind} demo written to {folder}")
    return 0
