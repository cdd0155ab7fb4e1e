"""The API pages: every module and public name has a docstring, and the command builds them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "paddle_restore"
FILES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = [path.parent for path in FILES if path.name == "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
        f"{path}: begin the file with a docstring that says what the module is"
    )


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_and_classes_have_docstrings(folder):
    module = import_module(str(folder.relative_to(ROOT)).replace("/", "."))
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert value.__doc__, f"{module.__name__}.{name}"


def test_the_pages_are_built(tmp_path):
    pytest.importorskip("pdoc")
    pytest.importorskip("fastapi")
    subprocess.run([sys.executable, ROOT / "tools/api_pages.py", tmp_path], check=True, capture_output=True)
    for module, name in {"metrics": "evaluate", "inference/backends": "open_network"}.items():
        page = (tmp_path / f"paddle_restore/{module}.html").read_text(encoding="utf-8")
        assert f'<section id="{name}">' in page
