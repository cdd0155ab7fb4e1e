"""What predict and infer have in common: files in, pictures and numbers out."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from paddle_restore.cli.common import ratio
from paddle_restore.cli.main import fail
from paddle_restore.data.files import list_files, make_folder
from paddle_restore.data.image import is_picture, write_image
from paddle_restore.data.pairs import listed
from paddle_restore.data.raw import is_raw
from paddle_restore.data.sid import match_target
from paddle_restore.errors import UserError
from paddle_restore.inference.report import Recorder
from paddle_restore.inference.restorer import Restorer
from paddle_restore.metrics import evaluate

METRICS = ("psnr", "ssim_rgb_matlab")
FORMATS = ("png", "jpg", "tif", "webp")


def add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, required=True, help="file or folder")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument(
        "--format", choices=FORMATS, help="of the pictures (default: the input's own; PNG for raw files)"
    )
    parser.add_argument(
        "--depth",
        type=int,
        choices=(8, 16),
        help="bits (default: the input's own; 8 for raw files, and always for JPEG and WebP)",
    )
    parser.add_argument("--target", type=Path, help="reference picture or raw file, or a folder of them")
    parser.add_argument(
        "--ratio",
        type=ratio,
        default="auto",
        metavar="auto|N",
        help="amplification of raw files; auto: from the exposure times where --target is a raw file, "
        "else (or where the recipe says data.ratio: auto) estimated from the file",
    )
    parser.add_argument(
        "--amplifier_m",
        type=int,
        choices=(1, 5, 8),
        help="m of an estimated ratio, which it multiplies (default: the recipe's)",
    )


def restore_files(restorer: Restorer, args: argparse.Namespace, recorder: Optional[Recorder] = None) -> int:
    """Restore one file, or every readable file of a folder; return the exit code."""
    if args.amplifier_m:
        preprocess = restorer.preprocess.model_copy(update={"amplifier_m": args.amplifier_m})
        restorer = replace(restorer, preprocess=preprocess)
    wanted, what = (is_raw, "raw files") if restorer.spec.raw else (is_picture, "pictures")
    files = list_files(args.input, wanted, what)
    targets = (
        list_files(args.target, lambda p: is_raw(p) or is_picture(p), "pictures or raw files")
        if args.target
        else None
    )
    make_folder(args.output)
    _say_what_is_skipped(args.input, files, restorer)
    names = _output_names(files, args)
    if restorer.spec.raw and restorer.preprocess.ratio == "known" and not (args.ratio or targets):
        print(
            f"note: {restorer.spec.id} was trained on the ratio of the exposure times; "
            "the estimate from the file alone may be far from it, --ratio N sets it"
        )
    scores: list[dict[str, float]] = []
    failed = 0
    for path in files:
        try:
            scores.append(_restore_file(restorer, path, names[path], targets, args, recorder))
        except UserError as error:
            if args.input.is_file():
                raise
            fail(error)
            failed += 1
    if targets and scores:
        print(_format("mean", {name: float(np.mean([score[name] for score in scores])) for name in METRICS}))
    print(f"restored {len(scores)} of {len(files)} files to {args.output}")
    return 1 if failed else 0


def _say_what_is_skipped(given: Path, files: list[Path], restorer: Restorer) -> None:
    """A folder may hold pictures beside raw files, or the reverse; nobody shall wonder where they went."""
    if given.is_dir():
        other = is_picture if restorer.spec.raw else is_raw
        skipped = sorted(path.name for path in given.iterdir() if path not in files and other(path))
        if skipped:
            kind = "raw files" if restorer.spec.raw else "pictures"
            print(f"note: {restorer.spec.id} reads {kind}; skipped {listed(skipped)}")


def _output_names(files: list[Path], args: argparse.Namespace) -> dict[Path, Path]:
    """Where each file's picture goes; files that differ in their suffix alone keep it in the name."""
    names: dict[Path, Path] = {}
    for path in files:
        suffix = f".{args.format}" if args.format else path.suffix if is_picture(path) else ".png"
        names[path] = args.output / f"{path.stem}{suffix}"
    taken = Counter(names.values())
    for path, name in names.items():
        if taken[name] > 1:
            names[path] = name.with_name(f"{path.name}{name.suffix}")
    return names


def _restore_file(
    restorer: Restorer,
    path: Path,
    written: Path,
    targets: Any,
    args: argparse.Namespace,
    recorder: Optional[Recorder],
) -> dict[str, float]:
    if written.resolve() == path.resolve():
        raise UserError(f"{written}: is the input itself; choose another --output")
    target = _target(path, targets, args)
    amplification = args.ratio
    if amplification is None and target is not None:
        amplification = restorer.known_ratio(path, target)
    times = recorder or Recorder.silent()
    with times.step("preprocess"):
        frame = restorer.read(path, amplification)
    with times.step("inference"):
        output = restorer.run(frame)
    with times.step("postprocess"):
        restored = restorer.finish(frame, output)
    scores: dict[str, float] = {}
    if target is not None:
        reference = restorer.target(target)
        if reference.shape != restored.picture.shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (reference.shape, restored.picture.shape)]
            raise UserError(f"{target}: has {sizes[0]} pixels, but {path} gives {sizes[1]}")
        scores = evaluate(restored.picture, reference, METRICS)
    write_image(written, restored.form.shape(restored.picture, args.depth))
    shown = {"ratio": restored.ratio, **scores} if restored.ratio else scores
    print(f"{_format(path, shown)} -> {written}", flush=True)
    return scores


def _target(path: Path, targets: Any, args: argparse.Namespace) -> Optional[Path]:
    if not targets:
        return None
    if args.target.is_dir():
        return match_target(path, targets)
    if args.input.is_dir():
        raise UserError(f"{args.target}: is one file, and --input a folder; give a folder of references")
    return targets[0]


def _format(name: Any, values: dict[str, float]) -> str:
    numbers = ", ".join(
        f"{key}: {value:.1f}" if key == "ratio" else f"{key}: {value:.4f}" for key, value in values.items()
    )
    return f"image_name: {name}" + (f", {numbers}" if numbers else "")
