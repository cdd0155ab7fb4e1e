"""The command `paddle-restore` and the entry of tools/*.py: parse, run, report a mistake in one line."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Optional, Protocol

from paddle_restore.errors import UserError
from paddle_restore.huge_pages import ask_for_huge_pages
from paddle_restore.quiet import say_error


class Command(Protocol):
    """A module of this package, or an object in one. Its docstring is the command's description."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int:
        """Return the exit code."""


# command: (module, or module:class, and what it does)
COMMANDS = {
    "restore": ("restore:Restore", "restore photographs with a model that is ready to run"),
    "train": ("train", "train a network from a recipe"),
    "eval": ("eval", "measure a network on a recipe's evaluation data"),
    "predict": ("restore:Predict", "restore files with a network's own code"),
    "export": ("export_model", "weights -> a folder for Paddle Inference"),
    "infer": ("restore:Infer", "restore files with an exported folder"),
    "serve": ("serve", "serve exported folders by HTTP, with a page"),
    "prepare_demo": ("prepare_demo", "make the demo data"),
    "prepare_sid": ("prepare_sid", "check a SID data set; decode its frames into a cache"),
    "prepare_sidd": ("prepare_sidd", "prepare the SIDD data set"),
    "compare": ("compare", "put pictures side by side"),
    "document_recipes": ("document_recipes", "write docs/recipes.md"),
    "benchmark": ("benchmark", "parameters, operations, memory and time of networks"),
    "quality": ("quality", "measure pictures without a reference, or against one"),
    "convert_weights": ("convert_weights", "published checkpoint -> our weights"),
    "align": ("align", "compare the networks with the values of their authors' code"),
}
ALIASES = {"export_model": "export"}


def load_command(name: str) -> Command:
    """Import a command by its name."""
    module, _, attribute = COMMANDS[ALIASES.get(name, name)][0].partition(":")
    found = import_module(f"paddle_restore.cli.{module}")
    return getattr(found, attribute)() if attribute else found


def main(command: Optional[str] = None, argv: Optional[Sequence[str]] = None) -> NoReturn:
    """Run `command`, or the one that the first argument names, and exit.

    Exit codes: 0 done, 1 some files failed and the others are done, 2 a mistake that the user can correct
    (one line on stderr), 75 a training was stopped by SIGTERM or SIGUSR1 and has saved, 130 interrupted.
    """
    # Paddle's import advises to install a compiler cache, which nothing here needs.
    warnings.filterwarnings("ignore", message="No ccache found")
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    if isinstance(sys.stdout, io.TextIOWrapper):  # for names of files that are no UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    from_shell, argv = argv is None, list(sys.argv[1:] if argv is None else argv)
    if command is None:
        parser = Parser(prog="paddle-restore", description=__doc__)
        parser.add_argument(
            "command", choices=list(COMMANDS), help="; ".join(f"{k}: {v[1]}" for k, v in COMMANDS.items())
        )
        command = parser.parse_args(argv[:1]).command
        argv = argv[1:]
    if from_shell and command != "serve":  # serve needs little memory, and starts its workers with huge pages
        ask_for_huge_pages()
    loaded = load_command(command)
    parser = Parser(description=loaded.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    loaded.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    try:
        code = loaded.run(args)
    except UserError as error:
        if args.debug:
            raise
        code = fail(error)
    except KeyboardInterrupt:
        print("interrupted" + ("; go on with --resume auto" if command == "train" else ""), file=sys.stderr)
        code = 130
    try:
        sys.stdout.flush()
    except OSError:  # closed, or on a full disk; without this Python would exit with 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """Reports a wrong option in one line, like every other mistake."""

    def error(self, message: str) -> NoReturn:
        sys.exit(fail(UserError(f"{message} (--help shows the options)")))


def fail(error: UserError) -> int:
    """Print a user's mistake in one line; return its exit code."""
    say_error(error)
    return 2
