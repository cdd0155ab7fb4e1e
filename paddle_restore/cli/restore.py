"""Restore files: one command with three names, which differ in how the network is given."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from paddle_restore.cli.common import (
    add_averaging,
    add_backend,
    add_device,
    add_recipe,
    averaging_of,
    boolean,
    load_model,
    one_of,
    positive,
    preprocess_of,
)
from paddle_restore.devices import use_device

if TYPE_CHECKING:
    from paddle_restore.inference.report import Recorder
    from paddle_restore.inference.restorer import Restorer

_BY_PADDLE = (None, "paddle", "tensorrt", "eager")  # None: what --model needs

_INPUT: dict[str, Any] = {"type": Path, "nargs": "+", "help": "files, folders or patterns"}


class Restore:
    """Restore photographs: raw files or pictures, of any size, with a model that is ready to run."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--model",
            metavar="DIR|ID",
            help="exported folder, or a network's id with --weights "
            "(default: the networks for noisy pictures and raw files that come with the package)",
        )
        parser.add_argument("--weights", type=Path, help="model.pdparams, for a network's id")
        add_backend(parser)
        parser.add_argument("input", metavar="INPUT", **_INPUT)
        _add_common(parser)

    def run(self, args: argparse.Namespace) -> int:
        return _restore(_open(args, args.model, args.weights), args)


class Infer:
    """Restore files with an exported folder, by Paddle Inference or another backend."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--model_dir", type=Path, required=True, help="exported folder")
        add_backend(parser)
        parser.add_argument("--input", required=True, **_INPUT)
        _add_common(parser)
        parser.add_argument(
            "--benchmark", type=boolean, default=False, metavar="true|false", help="print AutoLog's report"
        )

    def run(self, args: argparse.Namespace) -> int:
        from paddle_restore.inference.package import read_package
        from paddle_restore.inference.report import Recorder

        package = read_package(args.model_dir)
        restorer = _open(args, args.model_dir)
        if not args.benchmark:
            return _restore(restorer, args)
        network: Any = restorer.forward.network
        recorder = Recorder(
            package.name,
            args.device,
            network.threads,
            args.precision,
            args.batch_size,
            getattr(network, "config", None),
        )
        try:
            code = _restore(restorer, args, recorder)
            recorder.report()
        finally:
            recorder.close()
        return code


class Predict:
    """Restore files with a network's own code and a recipe's weights."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add_recipe(parser)
        parser.add_argument("--weights", type=Path, required=True, help="model.pdparams")
        parser.add_argument("--input", required=True, **_INPUT)
        _add_common(parser)

    def run(self, args: argparse.Namespace) -> int:
        from paddle_restore.engine.config import load_config

        config = load_config(args.config, tuple(args.override))
        use_device(args.device)
        from paddle_restore.inference.eager import EagerNetwork
        from paddle_restore.inference.forward import Forward
        from paddle_restore.inference.restorer import Restorer
        from paddle_restore.inference.tiling import Tiling

        model = load_model(config, args.weights)
        tiling = Tiling(args.tile, args.memory)
        averaging, batch_size = averaging_of(args), args.batch_size
        network = EagerNetwork(model, args.threads)
        forward = Forward(network, model.spec, averaging, tiling, batch_size, strength=args.strength)
        preprocess, metrics = preprocess_of(config), config.eval.metrics
        return _restore(Restorer.of(forward, preprocess, metrics, args.camera), args)


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of all three commands."""
    _add_run_options(parser)
    _add_file_options(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add how the network runs."""
    add_device(parser)
    add_averaging(parser)
    parser.add_argument(
        "--strength",
        type=float,
        default=1.0,
        metavar="S",
        help="of networks that restore pictures or raw frames: 0 changes nothing, 1 is the network's own "
        "result, 1.5 more",
    )
    parser.add_argument(
        "--tile",
        type=_tile,
        default="auto",
        metavar="auto|none|N",
        help="side of the tiles in pixels; auto: as large as --memory allows",
    )
    parser.add_argument(
        "--camera",
        type=Path,
        metavar="FILE",
        help="YAML file with a sensor's noise, for networks that restore raw frames (default: the raw file's "
        "own noise profile, or an estimate)",
    )
    parser.add_argument(
        "--memory", type=float, default=1.0, metavar="GB", help="working memory that --tile auto may use"
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="of the network on a CPU (default: OMP_NUM_THREADS, or all cores)",
    )
    parser.add_argument(
        "--batch_size", type=positive, default=1, metavar="N", help="tiles or small pictures at once"
    )


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add what is read beside the input, and what is written."""
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="folder for the results, or the name of the only one",
    )
    parser.add_argument(
        "--format",
        type=one_of(_formats),
        metavar="NAME",
        help="of the results: png, jpg, tif, webp or dng (default: a picture's own; of raw files DNG where "
        "the network restores raw frames, else PNG). dng concerns raw files only",
    )
    parser.add_argument(
        "--colour_space",
        type=one_of(_colour_spaces),
        default="srgb",
        metavar="NAME",
        help="of pictures that are developed from restored raw frames; its profile is written along "
        "(srgb, display_p3, adobe_rgb, prophoto, rec2020; default: srgb)",
    )
    parser.add_argument(
        "--depth",
        type=int,
        choices=(8, 16),
        help="bits (default: the input's own; 16 for raw files; JPEG and WebP always have 8)",
    )
    parser.add_argument(
        "--metadata",
        choices=("keep", "none"),
        help="copy colour profile and EXIF (place and camera too) of the input, or leave them out "
        "(default: keep, but a DNG gets place and serial number by keep only)",
    )
    parser.add_argument("--target", type=Path, help="reference picture or raw file, or a folder of them")
    parser.add_argument(
        "--ratio",
        type=_ratio,
        default="auto",
        metavar="auto|N",
        help="amplification of raw files; auto: from the exposure times where --target is a raw file, else "
        "the exposure that makes the picture well lit (for lamba, and where the recipe says data.ratio: "
        "auto, Lamba's estimate)",
    )
    parser.add_argument(
        "--amplifier_m",
        type=int,
        choices=(1, 5, 8),
        help="m of Lamba's estimate, which it multiplies (default: the recipe's)",
    )
    for level in ("black_level", "white_level"):
        parser.add_argument(f"--{level}", type=_level, metavar="N", help="replaces the value of raw files")
    parser.add_argument("--skip_existing", action="store_true", help="skip files whose picture exists")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="append a line of JSON for every file to this one"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="also draw before and after on one sheet"
    )


def _formats() -> list[str]:
    from paddle_restore.data.formats import output_formats

    return [*(one.name for one in output_formats()), "dng"]


def _colour_spaces() -> list[str]:
    from paddle_restore.data.colour_spaces import COLOUR_SPACES

    return list(COLOUR_SPACES)


def _tile(text: str) -> Union[int, str]:
    if text in ("auto", "none"):
        return text
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be auto, none or a number of pixels")
    return int(text)


def _ratio(text: str) -> Optional[float]:
    """Parse --ratio: a positive number, or `auto` (None)."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 1e5:
        raise argparse.ArgumentTypeError("must be auto or a number from 0.01 to 100000")
    return value


def _level(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError("must be a sensor value, 0 or more")
    return value


def _open(
    args: argparse.Namespace, model: Union[str, Path, None], weights: Optional[Path] = None
) -> Restorer:
    averaging = averaging_of(args)
    if args.backend in _BY_PADDLE:
        args.device = use_device(args.device)
    else:  # Paddle takes seconds to import, and its GPU says nothing about another library's
        args.device = args.device or "cpu"
    from paddle_restore.inference.restorer import Restorer

    options = args.backend, args.precision, args.device, args.tile, args.memory, args.batch_size, averaging
    return Restorer(
        model, weights, *options, threads=args.threads, strength=args.strength, camera=args.camera
    )


def _restore(restorer: Restorer, args: argparse.Namespace, recorder: Optional[Recorder] = None) -> int:
    from paddle_restore.inference.pipeline import FileOptions, restore_files

    names = ("amplifier_m", "black_level", "white_level")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    for one in (restorer, restorer.raw):
        if one:
            one.preprocess = one.preprocess.model_copy(update=given)
    options = FileOptions(**{field.name: getattr(args, field.name) for field in fields(FileOptions)})
    return restore_files(restorer, options, recorder)
