"""The house's order: imports point one way, and rooms know only what is theirs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "paddle_restore"
# A room may import itself and what stands to its right.
ORDER = [
    "cli",
    "serving",
    "alignment",
    "engine",
    "benchmark",
    "inference",
    "weights",
    "data",
    "losses",
    "metrics",
    "models",
]


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(room: str) -> list[Path]:
    single = PACKAGE / f"{room}.py"
    return [single] if single.is_file() else sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", ORDER)
def test_imports_point_one_way(room):
    forbidden = tuple(f"paddle_restore.{other}" for other in ORDER[: ORDER.index(room)])
    for path in files(room):
        wrong = [name for name in imports(path) if name.startswith(forbidden)]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_data_is_numpy():
    for path in files("data"):
        if path.name != "batches.py":
            assert not [name for name in imports(path) if name.split(".")[0] == "paddle"], path


def test_models_and_losses_know_nothing_of_files():
    for path in [*files("models"), *files("losses")]:
        assert not imports(path) & {"os", "pathlib", "cv2", "rawpy", "yaml"}, path


def test_the_engine_names_no_network():
    from paddle_restore import list_models

    for path in files("engine"):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in list_models() if f'"{name}"' in text], path


def test_nothing_unpickles_freely_or_evaluates_text():
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                banned = {
                    "eval",
                    "exec",
                    "pickle.load",
                    "pickle.loads",
                    "paddle.load",
                    "yaml.load",
                }
                where = f"{path.relative_to(ROOT)}:{node.lineno}: {called}"
                assert called not in banned, where
                if called in ("np.load", "numpy.load"):  # unpickles object arrays unless told not to
                    assert "allow_pickle=False" in map(ast.unparse, node.keywords), where
