"""Options and steps that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Optional, Union

from paddle_restore.devices import DEVICES, thread_count, use_device
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import EAGER, PRECISIONS, find_backends


def add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, required=True, help="recipe (YAML)")
    parser.add_argument(
        "-o",
        "--override",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override recipe keys",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, help="default: gpu where there is one")


def add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        choices=(*find_backends(), EAGER),
        help="what runs the network (default: Paddle Inference for an exported folder)",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="arithmetic of the network")


def load_model(config: Any, weights: Path) -> Any:
    """Build the recipe's network with the weights of a file."""
    from paddle_restore.models import create_model
    from paddle_restore.weights import load_weights

    model = create_model(config.model.id, **config.model.args)
    load_weights(model, weights)
    model.eval()
    return model


def preprocess_of(config: Any) -> Any:
    """The part of a recipe's data section that restoring files needs too."""
    from paddle_restore.inference.package import Preprocess

    known = {key: getattr(config.data, key) for key in Preprocess.model_fields if hasattr(config.data, key)}
    return Preprocess(**known)


def ratio(text: str) -> Union[float, None]:
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


def add_averaging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--self_ensemble",
        choices=("none", "x8"),
        default="none",
        help="x8: mean over flips and transpositions",
    )
    parser.add_argument(
        "--samples", type=int, default=1, metavar="N", help="mean of N draws of a latent's noise"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise")


def averaging_of(args: argparse.Namespace) -> Any:
    from paddle_restore.inference.forward import Averaging

    if args.samples < 1 or args.seed < 0:
        raise UserError("--samples must be 1 or more, and --seed 0 or more")
    return Averaging(args.self_ensemble == "x8", args.samples, args.seed)


def add_restorer(parser: argparse.ArgumentParser) -> None:
    """Add every option that says how a model is run."""
    add_backend(parser)
    add_device(parser)
    add_averaging(parser)
    add_tiling(parser)


def restorer_of(args: argparse.Namespace, model: Union[str, Path], weights: Optional[Path] = None) -> Any:
    """Open the model that these options run."""
    averaging = averaging_of(args)
    args.device = use_device(args.device)
    from paddle_restore.inference.restorer import Restorer

    options = args.backend, args.precision, args.device, args.tile, args.memory, args.batch_size, averaging
    return Restorer(model, weights, *options, threads=thread_count())


def add_tiling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tile",
        type=_tile,
        default="auto",
        metavar="auto|none|N",
        help="side of the pieces that the network gets, in pixels; auto: as large as --memory allows",
    )
    parser.add_argument(
        "--memory", type=float, default=1.0, metavar="GB", help="working memory that --tile auto may use"
    )
    parser.add_argument(
        "--batch_size", type=positive, default=1, metavar="N", help="pieces or small pictures at once"
    )


def _tile(text: str) -> Union[int, str]:
    if text in ("auto", "none"):
        return text
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be auto, none or a number of pixels")
    return int(text)


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError("must be true or false")
