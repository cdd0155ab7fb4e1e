"""Prepare the SIDD data set: patches to train on, blocks to evaluate on, a check, low-resolution targets."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path

from paddle_restore.cli.common import positive
from paddle_restore.data import sidd
from paddle_restore.data.files import make_folder, write_text
from paddle_restore.data.matching import match_pairs, pair_folders
from paddle_restore.data.parallel import errors_of
from paddle_restore.errors import UserError
from paddle_restore.quiet import say_error

SETTINGS = "patches.json"
LQ_SETTINGS = "lq.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True)

    patches = commands.add_parser("patches", help="patches of every pair of SIDD_Medium_Srgb/Data")
    patches.add_argument("--src", type=Path, required=True, metavar="DIR", help="SIDD_Medium_Srgb/Data")
    patches.add_argument("--dst", type=Path, required=True, metavar="DIR", help="gets input/, groundtruth/")
    patches.add_argument("--size", type=positive, default=256, help="side of a patch")
    patches.add_argument("--num", type=positive, default=300, help="random patches of each picture")
    patches.add_argument(
        "--overlap",
        type=int,
        metavar="N",
        help="cut a grid of all patches that overlap by N pixels, instead of random ones",
    )
    patches.add_argument("--seed", type=int, default=0)

    valid = commands.add_parser("valid", help="the .mat files of blocks -> PNG pairs, or results -> .mat")
    valid.add_argument("--src", type=Path, metavar="DIR", help="holds Validation{Noisy,Gt}BlocksSrgb.mat")
    valid.add_argument("--results", type=Path, metavar="DIR", help="restored blocks, NNNN-NNNN.png")
    valid.add_argument(
        "--dst", type=Path, required=True, help="folder for the pairs, or with --results the .mat file"
    )

    check = commands.add_parser("check", help="decode every pair of a folder and compare the sizes")
    check.add_argument("--src", type=Path, required=True, metavar="DIR", help="pairs, or SIDD's own Data")

    lq = commands.add_parser("lq", help="write the clean pictures of a folder of pairs, shrunk, to LQ/")
    lq.add_argument("--src", type=Path, required=True, metavar="DIR", help="folder of pairs")
    lq.add_argument("--scale", type=positive, default=4, help="how many times smaller")

    for command in (patches, valid, check, lq):
        command.add_argument("--workers", type=positive, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> int:
    return {"patches": _patches, "valid": _valid, "check": _check, "lq": _lq}[args.what](args)


def _patches(args: argparse.Namespace) -> int:
    pairs = sidd.source_pairs(args.src)
    settings = {"size": args.size, "num": args.num, "seed": args.seed}
    if args.overlap is not None:
        if not 0 <= args.overlap < args.size:
            raise UserError(f"patches: --overlap must be from 0 to {args.size - 1}, not {args.overlap}")
        settings = {"size": args.size, "overlap": args.overlap}
    _keep_settings(args.dst / SETTINGS, settings)
    cut = partial(
        sidd.cut_patches,
        folder=args.dst,
        size=args.size,
        count=args.num,
        seed=args.seed,
        overlap=args.overlap,
    )
    errors = errors_of(cut, pairs, args.workers, "patches")
    return _result(errors, f"{len(pairs) - len(errors)} of {len(pairs)} pairs cut to {args.dst}")


def _valid(args: argparse.Namespace) -> int:
    if (args.src is None) == (args.results is None):
        raise UserError("valid: give either --src (.mat files -> pairs) or --results (pictures -> .mat)")
    if args.results is not None:
        shape = sidd.write_submission(args.results, args.dst)
        print(f"{sidd.RESULT_BLOCKS} {shape} written to {args.dst}")
        return 0
    parts = ((sidd.NOISY_BLOCKS, sidd.NOISY), (sidd.CLEAN_BLOCKS, sidd.CLEAN))
    # Read both before anything is written.
    read = [(sidd.read_blocks(args.src / f"{name}.mat", name), part) for name, part in parts]
    if read[0][0].shape != read[1][0].shape:
        raise UserError(f"{args.src}: the blocks are {read[0][0].shape} noisy and {read[1][0].shape} clean")
    for blocks, part in read:
        indices = [(i, j) for i in range(blocks.shape[0]) for j in range(blocks.shape[1])]
        write = partial(sidd.write_block, blocks, make_folder(args.dst / part))
        errors = errors_of(write, indices, args.workers, part)
        if errors:
            return _result(errors)
    print(f"{len(indices)} pairs in {args.dst}")
    return 0


def _check(args: argparse.Namespace) -> int:
    pairs = sidd.readable_pairs(args.src)
    errors = errors_of(sidd.check_pair, pairs, args.workers, "check")
    return _result(errors, f"{len(pairs) - len(errors)} of {len(pairs)} pairs are good")


def _lq(args: argparse.Namespace) -> int:
    if args.scale < 2:
        raise UserError("lq: --scale must be 2 or more")
    pairs = match_pairs(args.src)
    _keep_settings(pair_folders(args.src)[0].parent / LQ_SETTINGS, {"scale": args.scale})
    write = partial(sidd.write_low_resolution, scale=args.scale)
    errors = errors_of(write, [pair.clean for pair in pairs], args.workers, "lq")
    return _result(errors, f"{len(pairs) - len(errors)} of {len(pairs)} pictures shrunk to {args.src / 'LQ'}")


def _keep_settings(path: Path, settings: dict[str, int]) -> None:
    """Record how a folder is made. Raises UserError where it was begun with other settings."""
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != settings:
            raise UserError(
                f"{path.parent}: was begun with other settings ({path.name}: {found}); "
                "give those, or delete what is there"
            )
        return
    write_text(path, json.dumps(settings))


def _result(errors: list[str], text: str = "") -> int:
    for line in errors:
        say_error(line)
    if text:
        print(text)
    return 1 if errors else 0
