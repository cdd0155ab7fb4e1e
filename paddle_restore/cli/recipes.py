"""List the recipes that come with the package: what stands behind -c, and what it trains."""

from __future__ import annotations

import argparse

from paddle_restore.recipe_files import list_recipes, recipe_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    names = list_recipes()
    width = max(map(len, names), default=0)
    for name in names:
        first = (recipe_folder() / f"{name}.yml").read_text(encoding="utf-8").splitlines()[0]
        print(f"{name:{width}}  {first.lstrip('# ')}")
    return 0
