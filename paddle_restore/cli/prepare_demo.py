"""Make the demo data: small SID trees of Bayer and X-Trans raw files, and noisy and clean pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tabulate import tabulate

from paddle_restore.data.files import atomic_path, make_folder
from paddle_restore.data.synthetic import scenes
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.errors import UserError

# Increase it when the same seed gives other files.
VERSION = 2
CAMERA = Path(__file__).resolve().parents[2] / "configs/cameras/sony_a7s2.yml"
KINDS = {
    "sid": scenes.write_sid_tree,
    "xtrans": scenes.write_xtrans_tree,
    "srgb": scenes.write_srgb_pairs,
}
LISTS = {"sid": "Sony_*_list.txt", "xtrans": "Fuji_*_list.txt"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("data/demo"), metavar="DIR")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all", help="raw scenes, pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--camera", type=Path, default=CAMERA, help="sensor (YAML)")
    parser.add_argument("--force", action="store_true", help="make it again even if it is there")


def run(args: argparse.Namespace) -> int:
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: must be 0 or more")
    camera = load_camera(args.camera)
    make_folder(args.output)
    for kind, write in KINDS.items():
        if args.kind not in (kind, "all"):
            continue
        # {} until everything is written, so that an interrupted run is made again.
        manifest = args.output / f"{kind}.json"
        wanted = {"version": VERSION, "seed": args.seed, "camera": camera.model_dump(mode="json")}
        made = _read(manifest)
        if made == wanted and not args.force:
            print(f"{args.output}: the {kind} demo is there already (--force makes it again)")
            continue
        if kind in LISTS and made is None and not args.force:
            _refuse_foreign_lists(args.output, LISTS[kind])
        _write(manifest, {})
        folder = args.output / "pairs" if kind == "srgb" else args.output
        rows = list(write(folder, camera, args.seed))
        print(tabulate(rows, ["scene", "split", "photograph", "size", "pattern", "exposure"]))
        with atomic_path(args.output / "README.txt") as path:
            path.write_text(scenes.SOURCES, encoding="utf-8")
        _write(manifest, wanted)
        print(f"{kind} demo written to {folder}")
    return 0


def _read(manifest: Path) -> Any:
    """Return what an earlier run wrote, or None."""
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(manifest: Path, made: dict) -> None:
    with atomic_path(manifest) as path:
        path.write_text(json.dumps(made), encoding="utf-8")


def _refuse_foreign_lists(root: Path, pattern: str) -> None:
    """Raise UserError where a SID data set that this command did not make would lose its lists."""
    for path in sorted(root.glob(pattern)):
        raise UserError(f"{path}: was not made by this command; choose another --output")
