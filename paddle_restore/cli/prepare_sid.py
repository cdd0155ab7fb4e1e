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
    rows, mistakes = [], []
    for name in args.lists or survey.find_lists(args.check, "*_list.txt"):
        found = survey.survey(args.check, name, args.workers, tqdm)
        files = {file for pair in found.pairs for file in (pair.short, pair.long)}
        row = {
            "list": name,
            "pairs": len(found.pairs),
            "scenes": len(found.scenes),
            "files": len(files),
            "missing": len(found.missing),
            "unreadable": len(found.unreadable),
            "wrong size": len(found.sizes),
            "scenes without files": ", ".join(found.absent[:5]) + (", ..." if len(found.absent) > 5 else ""),
        }
        rows.append(row)
        mistakes += found.mistakes
    for line in mistakes:
        print(line)
    print(tabulate(rows, "keys", disable_numparse=[0, 7]))
    return 1 if mistakes else 0


def _fill(args: argparse.Namespace) -> int:
    names = args.lists or survey.find_lists(args.root, "*_train_list.txt")
    wanted = survey.frames_of(args.root, names, args.burst)
    if not wanted:
        raise UserError(f"{args.root}: the lists name no first frames (_00_); use --burst all")
    frames = CachedFrames(args.cache, args.root)
    remove_unfinished(args.cache)
    progress = tqdm(survey.fill(frames, wanted, args.workers), total=len(wanted), desc="decode", unit="frame")
    broken = [result for result in progress if result]
    for line in broken:
        print(line)
    rows = []
    for suffix in SUFFIXES:
        files = [path for path, kind in wanted if kind == suffix and frames.find(path, suffix)]
        size = sum(frames.frame_path(path, suffix).stat().st_size for path in files)
        rows.append([suffix[1:], sum(kind == suffix for _, kind in wanted), len(files), f"{size / 1e9:.2f}"])
    print(tabulate(rows, ["frames", "wanted", "cached", "GB"]))
    return 1 if broken else 0
