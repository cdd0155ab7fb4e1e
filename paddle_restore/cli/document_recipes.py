"""Write docs/recipes.md: every key of a recipe, from the schema itself."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from paddle_restore.options import Options

HEAD = """\
# Recipes

A recipe is a YAML file. `_base_: FILE` (or a list of files) merges the keys of other recipes first.
`-o a.b=value` on the command line overrides any key. A section with another `kind` (or model `id`) replaces
the whole section of the base. An unknown key is an error that names the nearest valid one.
`tools/document_recipes.py` writes this page.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("docs/recipes.md"), metavar="FILE")


def run(args: argparse.Namespace) -> int:
    from paddle_restore.data.files import atomic_path

    with atomic_path(args.output) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    return 0


def page() -> str:
    """Return the page."""
    from paddle_restore.data.datasets import DATASETS
    from paddle_restore.engine.config import Config
    from paddle_restore.engine.objectives import OBJECTIVES

    parts = [HEAD, _section("The recipe", "", Config)]
    for name, field in Config.model_fields.items():
        if name in ("data", "objective"):
            for kind, part in (DATASETS if name == "data" else OBJECTIVES).items():
                parts += _sections(f"{name}, kind {kind}", f"{name}.", part.options)
        elif (options := _options(field.annotation)) is not None:
            parts += _sections(name, f"{name}.", options)
    return "\n".join(parts)


def _sections(title: str, prefix: str, options: type[Options]) -> Iterator[str]:
    """Yield the table of a group of options, and those of the groups inside it."""
    yield _section(title, prefix, options)
    for name, field in options.model_fields.items():
        if (inner := _options(field.annotation)) is not None:
            many = "[]" if typing.get_origin(field.annotation) is tuple else ""
            yield _section(f"{title}: {name}", f"{prefix}{name}{many}.", inner)


def _options(annotation: object) -> type[Options] | None:
    """Return the group of options inside an annotation such as `tuple[Stage, ...]`, if there is one."""
    for part in (annotation, *typing.get_args(annotation)):
        if (
            isinstance(part, type)
            and not typing.get_args(part)
            and issubclass(part, Options)
            and part is not Options
        ):
            return part
    return None


def _section(title: str, prefix: str, options: type[Options]) -> str:
    table = tabulate(_rows(prefix, options), ["key", "default", "meaning"], tablefmt="github")
    return f"## {title}\n\n{table}\n"


def _rows(prefix: str, options: type[Options]) -> Iterator[tuple[str, str, str]]:
    for name, field in options.model_fields.items():
        default = "required" if field.is_required() else _shown(field.default)
        choices = [
            str(c) for part in (field.annotation, *typing.get_args(field.annotation)) for c in _literals(part)
        ]
        meaning = ". ".join(filter(None, [field.description or "", ", ".join(choices)]))
        yield f"`{prefix}{name}`", default, meaning.replace("|", "\\|")


def _literals(annotation: object) -> tuple:
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


def _shown(default: object) -> str:
    if isinstance(default, Options):
        return "see below"
    return f"`{list(default) if isinstance(default, tuple) else default}`"
