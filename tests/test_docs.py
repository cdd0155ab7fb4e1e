"""The documentation: links lead somewhere, commands parse, both READMEs give the same commands."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from pathlib import Path

import pytest

from paddle_restore.cli.main import load_command
from paddle_restore.engine.config import load_config
from tests.conftest import ROOT

PAGES = sorted(path for path in ROOT.rglob("*.md") if not re.search(r"/(\.|output/)", str(path)))
RECIPES = sorted(ROOT.glob("configs/**/*.yml"))
COMMAND = re.compile(r"(?:tools/(\w+)\.py|paddle-restore (\w+)) ([^>;&]*-.*)")
PLACEHOLDERS = {"N": "1", "GB": "1"}


def fenced_code(page: Path) -> str:
    return "\n".join(
        re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )


def lines_of_code(page: Path) -> list[str]:
    """Return the lines of code on a page or in a recipe's header, joined where they continue, no comments."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".yml":
        code = "\n".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    else:
        rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        indented = re.findall(r"^ {4,}\S.*", rest, re.MULTILINE)
        spans = [" ".join(span.split()) for span in re.findall(r"`((?:python|paddle-restore) [^`]+)`", rest)]
        code = "\n".join([fenced_code(page), *indented, *spans])
    joined = re.sub(r"\\\n\s*|\n\s+(?=\[)", " ", code)
    return [re.sub(r"\s{2,}#.*", "", line).strip() for line in joined.splitlines()]


def commands_of(page: Path) -> list[tuple[str, list[str]]]:
    """Return (command, arguments) of the complete commands: optional parts kept, first of alternatives."""
    found = []
    for line in lines_of_code(page):
        match = COMMAND.search(line)
        if not match or re.search(r"…| \.\.\.", line):
            continue
        words = []
        for word in shlex.split(match[3].split(" || ")[0]):
            word = word[1:] if word.startswith("[-") else word
            word = word[:-1] if word.count("]") > word.count("[") else word
            word = word.removesuffix("...").split("|")[0]
            words += [PLACEHOLDERS.get(word, word)] if word else []
        found.append((match[1] or match[2], words))
    return found


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_parse_and_their_overrides_fit_the_recipe(page):
    for command, arguments in commands_of(page):
        parser = ArgumentParser(prog=command)
        load_command(command).add_arguments(parser)
        parsed = parser.parse_args(arguments)
        recipe = getattr(parsed, "config", None)
        if recipe and recipe.suffix == ".yml":
            load_config(ROOT / recipe, parsed.override or ())


def test_many_commands_are_checked():
    assert len(commands_of(ROOT / "README.md")) >= 8
    assert sum(len(commands_of(page)) for page in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings}


def test_the_chinese_readme_has_the_same_code_and_numbers():
    english, chinese = ROOT / "README.md", ROOT / "README_cn.md"

    def code(page):
        return [re.sub(r"\s+#.*", "", line) for line in fenced_code(page).splitlines()]

    def numbers(page):
        return re.findall(r"\d+(?:\.\d+)+|\d{4,}", page.read_text(encoding="utf-8"))

    assert code(english) == code(chinese)
    assert numbers(english) == numbers(chinese)


@pytest.mark.parametrize("name", ["README.md", "README_cn.md"])
def test_a_readme_is_short(name):
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 130
