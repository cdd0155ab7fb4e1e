"""The `paddle-restore` command and what tools/*.py call: parse, run, one line for a user's mistake."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Optional

from paddle_restore.errors import UserError, line_of
from paddle_restore.huge_pages import ask_for_huge_pages
from paddle_restore.quiet import say

# command: (module, what it does). A module has add_arguments(parser) and run(args) -> exit code.
COMMANDS = {
    "restore": ("restore", "restore photographs with a model that is ready to run"),
    "train": ("train", "train a network from a recipe"),
    "eval": ("eval", "measure a network on a recipe's evaluation data"),
    "predict": ("predict", "restore files with a network's own code"),
    "export": ("export_model", "weights -> a folder for Paddle Inference"),
    "infer": ("infer", "restore files with an exported folder"),
    "serve": ("serve", "serve exported folders by HTTP, with a page"),
    "prepare_demo": ("prepare_demo", "make the demo data"),
    "prepare_sid": ("prepare_sid", "check a SID data set; decode its frames into a cache"),
    "prepare_sidd": ("prepare_sidd", "prepare the SIDD data set"),
    "compare": ("compare", "put pictures side by side"),
    "document_recipes": ("document_recipes", "write docs/recipes.md"),
    "benchmark": ("benchmark", "parameters, operations, memory and time of networks"),
    "quality": ("quality", "measure pictures without a reference, or against one"),
    "convert_weights": ("convert_weights", "published checkpoint -> our weights"),
    "align": ("align", "prove that the networks give the authors' numbers"),
}
ALIASES = {"export_model": "export"}


def main(command: Optional[str] = None, argv: Optional[Sequence[str]] = None) -> NoReturn:
    """Run `command`, or the one that the first argument names, and exit.

    Exit codes: 0 done, 1 some files failed and the rest is done, 2 a mistake that the user can
    mend (one line on stderr), 75 a training that SIGTERM or SIGUSR1 asked to stop and that has saved,
    130 interrupted.
    """
    # Paddle's import advises to install a compiler cache, which nothing here needs.
    warnings.filterwarnings("ignore", message="No ccache found")
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    alone, argv = argv is None, list(sys.argv[1:] if argv is None else argv)
    if command is None:
        parser = Parser(prog="paddle-restore", description=__doc__)
        parser.add_argument(
            "command", choices=list(COMMANDS), help="; ".join(f"{k}: {v[1]}" for k, v in COMMANDS.items())
        )
        command = parser.parse_args(argv[:1]).command
        argv = argv[1:]
    command = ALIASES.get(command, command)
    if alone and command != "serve":  # whose workers are started so, and which itself stays small
        ask_for_huge_pages()
    module = import_module(f"paddle_restore.cli.{COMMANDS[command][0]}")
    parser = Parser(description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    try:
        code = module.run(args)
    except UserError as error:
        if args.debug:
            raise
        code = fail(error)
    except KeyboardInterrupt:
        print("interrupted" + ("; go on with --resume auto" if command == "train" else ""), file=sys.stderr)
        code = 130
    try:
        sys.stdout.flush()
    except OSError:  # closed, or on a full disk; Python would try once more and exit with 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """Reports a wrong option as every other mistake: in one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(fail(UserError(f"{message} (--help shows the options)")))


def fail(error: UserError) -> int:
    """Print a user's mistake as one line; return its exit code."""
    say(f"error: {line_of(error)}")
    return 2
