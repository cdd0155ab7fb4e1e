"""Check a SID data set, or decode its frames into a cache that training reads (data.cache)."""

from __future__ import annotations

import argparse
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

from paddle_restore.data import survey
from paddle_restore.data.cache import SUFFIXES, CachedFrames, remove_unfinished
from paddle_restore.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, metavar="DIR", help="the data set: lists, Sony/, Fuji/")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for the decoded frames")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--lists",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="relative to the root; default: *_train_list.txt",
    )
    parser.add_argument("--burst", choices=("first", "all"), default="first", help="as data.burst")
    parser.add_argument(
        "--check", type=Path, metavar="DIR", help="read every file of this data set, and report"
    )


def run(args: argparse.Namespace) -> int:
    if args.workers < 0:
        raise UserError(f"--workers {args.workers}: expected 0 or more")
    if args.check:
        return _check(args)
    if not (args.root and args.cache):
        raise UserError("expected --root DIR --cache DIR, or --check DIR")
    return _fill(args)


def _check(args: argparse.Namespace) -> int:
    names = args.lists or survey.find_lists(args.check, "*_list.txt")
    surveys = [survey.survey(args.check, name, args.workers) for name in names]
    errors = [line for found in surveys for line in found.errors]
    for line in errors:
        print(line)
    print(tabulate([found.row() for found in surveys], "keys", disable_numparse=[0, 7]))
    return 1 if errors else 0


def _fill(args: argparse.Namespace) -> int:
    names = args.lists or survey.find_lists(args.root, "*_train_list.txt")
    frames = survey.frames_of(args.root, names, args.burst)
    if not frames:
        raise UserError(f"{args.root}: the lists name no first frames (_00_); use --burst all")
    cache = CachedFrames(args.cache, args.root)
    remove_unfinished(args.cache)
    results = tqdm(survey.fill(cache, frames, args.workers), total=len(frames), desc="decode", unit="frame")
    errors = [line for line in results if line]
    for line in errors:
        print(line)
    rows = []
    for suffix in SUFFIXES:
        wanted = [path for path, kind in frames if kind == suffix]
        cached = [cache.frame_path(path, suffix) for path in wanted if cache.find(path, suffix)]
        size = sum(path.stat().st_size for path in cached)
        rows.append([suffix[1:], len(wanted), len(cached), f"{size / 1e9:.2f}"])
    print(tabulate(rows, ["frames", "wanted", "cached", "GB"]))
    return 1 if errors else 0
