"""The command `paddle-restore` and the entry of tools/*.py: parse, run, report a mistake in one line."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn, Optional, Protocol, Union

import paddle_restore
from paddle_restore.cli.output import survive_closed_pipe
from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.huge_pages import ask_for_huge_pages
from paddle_restore.quiet import say, say_error

PROGRAM = "paddle-restore"


class Command(Protocol):
    """A module of this package, or an object in one. Its docstring is the command's description."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int:
        """Return the exit code."""


# title: {command: (module, or module:class, and what it does)}
GROUPS = {
    "restore pictures": {
        "restore": ("restore:Restore", "restore photographs with a model that is ready to run"),
        "infer": ("restore:Infer", "restore files with an exported folder"),
        "predict": ("restore:Predict", "restore files with a network's own code"),
        "serve": ("serve", "serve exported folders by HTTP, with a page"),
    },
    "train and export": {
        "train": ("train", "train a network from a recipe"),
        "recipes": ("recipes", "list the recipes that come with the package"),
        "eval": ("eval", "measure a network on a recipe's evaluation data"),
        "export": ("export_model", "weights -> a folder for Paddle Inference"),
        "convert_weights": ("convert_weights", "published checkpoint -> our weights"),
    },
    "prepare data": {
        "prepare_demo": ("prepare_demo", "make the demo data"),
        "prepare_sid": ("prepare_sid", "check a SID data set; decode its frames into a cache"),
        "prepare_sidd": ("prepare_sidd", "prepare the SIDD data set"),
    },
    "compare and measure": {
        "compare": ("compare", "put pictures side by side"),
        "quality": ("quality", "measure pictures without a reference, or against one"),
        "benchmark": ("benchmark", "parameters, operations, memory and time of networks"),
        "align": ("align", "compare the networks with the values of their authors' code"),
    },
    "the program itself": {
        "completion": ("completion", "print a script that completes words in a shell"),
        "document_recipes": ("document_recipes", "write docs/recipes.md"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
ALIASES = {"export_model": "export"}


def load_command(name: str) -> Command:
    """Import a command by its name."""
    module, _, attribute = COMMANDS[ALIASES.get(name, name)][0].partition(":")
    found = import_module(f"paddle_restore.cli.{module}")
    return getattr(found, attribute)() if attribute else found


def make_parser(name: str, program: Optional[str] = None) -> Parser:
    """Return the parser of a command."""
    command = load_command(name)
    parser = Parser(prog=program or f"{PROGRAM} {name}", description=command.__doc__, formatter_class=Help)
    command.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(command: Optional[str] = None, argv: Optional[Sequence[str]] = None) -> NoReturn:
    """Run `command`, or the one that the first argument names, and exit.

    Exit codes: 0 done, 1 some files failed and the others are done, 2 a mistake that the user can correct
    (one line on stderr), 75 a training was stopped by SIGTERM or SIGUSR1 and has saved, 130 interrupted.
    """
    from_shell, argv = argv is None, list(sys.argv[1:] if argv is None else argv)
    if from_shell and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    # Paddle's import advises to install a compiler cache, which nothing here needs.
    warnings.filterwarnings("ignore", message="No ccache found")
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):  # for names of files that are no UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    program = Path(sys.argv[0]).name if command else None
    if from_shell:
        survive_closed_pipe()
    if command is None:
        command, argv = _choose(argv)
    if from_shell and command != "serve":  # serve needs little memory; its workers start with huge pages
        ask_for_huge_pages()
    try:
        args = make_parser(command, program).parse_args(argv)
        try:
            code = load_command(command).run(args)
        except UserError as error:
            if args.debug:
                raise
            code = fail(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    try:
        sys.stdout.flush()
    except OSError:  # closed, or on a full disk; without this Python would exit with 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _show_warning(message: Union[Warning, str], *_: object, **__: object) -> None:
    """Print a warning, even while another thread is in `quiet`, as the one that reads the next file is."""
    say(f"warning: {message}")


def _interrupt(number: int, frame: Optional[FrameType]) -> None:
    """Handle Ctrl-C. While a library is imported, which may make an error of its own of it, end at once."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"interrupted\n")
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


def _choose(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command that the first word names, and the other words. Exits after --help and --version."""
    word = argv[0] if argv else ""
    if word in ("-h", "--help"):
        print(overview())
        sys.exit(0)
    if word == "--version":
        print(f"{PROGRAM} {paddle_restore.__version__}")
        sys.exit(0)
    if word not in COMMANDS:
        what = f"{word}: is no command{did_you_mean(word, COMMANDS)}" if word else "name a command"
        sys.exit(fail(UserError(f"{what} ({PROGRAM} --help lists them)")))
    return word, list(argv[1:])


def overview() -> str:
    """Return the help of the program: its commands in groups."""
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTIONS]",
        f"       {PROGRAM} COMMAND --help",
        "",
        "Image restoration with PaddlePaddle, from the sensor to the shipped model.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<17} {what}" for name, (_, what) in group.items())]
    lines += ["", "options:", "  -h, --help        show this help", "  --version         show the version"]
    return "\n".join(lines)


class Parser(argparse.ArgumentParser):
    """Reports a wrong option in one line, like every other mistake, and names the nearest one."""

    def parse_args(self, args=None, namespace=None):
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            options = [name for action in self._actions for name in action.option_strings]
            near = did_you_mean(word, options) if difflib.get_close_matches(word, options, cutoff=0.5) else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return parsed

    def error(self, message: str) -> NoReturn:
        sys.exit(fail(UserError(f"{message} (--help shows the options)")))


class Help(argparse.HelpFormatter):
    """Fills the paragraphs of a description, and shows the default of every option that has one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = textwrap.dedent(f"    {text.strip()}").split("\n\n")
        return "\n\n".join(
            part if "\n  " in part else textwrap.fill(" ".join(part.split()), width) for part in paragraphs
        )

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        shown = default is not None and default is not False and default != [] and default != ""
        if action.option_strings and shown and default != argparse.SUPPRESS and "default" not in text:
            many = isinstance(default, (list, tuple))
            text += f" (default: {' '.join(map(str, default)) if many else '%(default)s'})"
        return text


def fail(error: UserError) -> int:
    """Print a user's mistake in one line; return its exit code."""
    say_error(error)
    return 2
