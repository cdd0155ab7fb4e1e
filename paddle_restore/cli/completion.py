"""Print a script that completes commands, options and file names in a shell.

    paddle-restore completion bash > FILE    then, in ~/.bashrc: source FILE
    paddle-restore completion zsh > _paddle-restore    in a folder of $fpath

The script knows the options of this version: make it again after an update.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from paddle_restore.errors import UserError

SHELLS = ("bash", "zsh", "tcsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    try:
        import shtab
    except ModuleNotFoundError:
        raise UserError("completion needs shtab: pip install 'paddle_restore[completion]'") from None
    if args.shell not in shtab.SUPPORTED_SHELLS:
        raise UserError(
            f"this shtab makes no script for {args.shell}; it knows {', '.join(shtab.SUPPORTED_SHELLS)}"
        )
    print(shtab.complete(_whole_parser(), args.shell))
    return 0


def _whole_parser() -> argparse.ArgumentParser:
    """Return one parser with all commands, as shtab wants it."""
    import shtab

    from paddle_restore.cli.main import COMMANDS, PROGRAM, load_command

    parser = argparse.ArgumentParser(prog=PROGRAM)
    parser.add_argument("--version", action="version", help="show the version")
    commands = parser.add_subparsers()
    for name, (_, what) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        load_command(name).add_arguments(command)
        for action in command._actions:
            if action.type is Path:
                action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    return parser
