"""Options and steps that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from paddle_restore.devices import DEVICES, check_device_name
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import EAGER, PRECISIONS, find_backends

if TYPE_CHECKING:
    import paddle

    from paddle_restore.engine.config import Config
    from paddle_restore.inference.forward import Averaging
    from paddle_restore.inference.package import Preprocess


def one_of(find: Callable[[], Sequence[str]]) -> Callable[[str], str]:
    """Return the type of an option with choices that are looked up when it is given.

    argparse's own `choices` are looked up for the help too, which imports no libraries.
    """

    def check(text: str) -> str:
        if text not in find():
            names = ", ".join(map(repr, find()))
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {names})")
        return text

    return check


def add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, required=True, help="recipe (YAML), or its name")
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
    parser.add_argument(
        "--device", type=device_name, metavar="cpu|gpu|gpu:N", help="default: gpu where there is one"
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        choices=(*find_backends(), EAGER),
        help="what runs the network (default: Paddle Inference for an exported folder)",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="arithmetic of the network")


def load_model(config: Config, weights: Path) -> paddle.nn.Layer:
    """Build the recipe's network with the weights of a file."""
    from paddle_restore.models import create_model
    from paddle_restore.weights import load_weights

    model = create_model(config.model.id, **config.model.args)
    load_weights(model, weights)
    model.eval()
    return model


def preprocess_of(config: Config) -> Preprocess:
    """Return the options of a recipe's data section that restoring files needs too."""
    from paddle_restore.inference.package import Preprocess

    data = config.data.model_dump()
    return Preprocess(**{key: data[key] for key in Preprocess.model_fields if key in data})


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


def averaging_of(args: argparse.Namespace) -> Averaging:
    from paddle_restore.inference.forward import Averaging

    return Averaging(args.self_ensemble == "x8", args.samples, args.seed)


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def device_name(text: str) -> str:
    try:
        return check_device_name(text)
    except UserError:
        raise argparse.ArgumentTypeError(f"must be one of {DEVICES}, not {text!r}") from None


def boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError("must be true or false")
