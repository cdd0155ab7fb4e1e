"""An export appears whole or not at all, beside files of the user too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paddle_restore.errors import UserError
from paddle_restore.inference.backends import open_network
from paddle_restore.inference.export import export
from paddle_restore.inference.package import FILE, Preprocess
from paddle_restore.models import create_model
from tests.conftest import ROOT


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    """An export with a file of the user beside it."""
    export(create_model("sid_unet", width=4), tmp_path / "run", "sid_unet", Preprocess())
    (tmp_path / "run/notes.txt").write_text("mine")
    return tmp_path / "run"


def other():
    return create_model("lamba")


def test_a_second_export_replaces_the_first_and_keeps_the_users_files(folder):
    (folder / "model.onnx").write_bytes(b"of an earlier export")
    export(other(), folder, "lamba", Preprocess())
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / "model.onnx").exists()  # the new export has none
    assert open_network(folder)(np.zeros((1, 1, 64, 64), np.float32)).shape == (1, 3, 64, 64)
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("failing", range(1, 8))
def test_an_error_in_the_middle_leaves_the_first_export(folder, monkeypatch, failing):
    before, rename, count = contents(folder), Path.rename, iter(range(1, 100))

    def fails(self, target):
        if next(count) == failing:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    if failing > len(before) - 1 + 3:  # more than it moves
        export(other(), folder, "lamba", Preprocess())
        return
    with pytest.raises(UserError, match=r"run: cannot be written \(No space left on device\)"):
        export(other(), folder, "lamba", Preprocess())
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


@pytest.mark.parametrize("moves", range(1, 6))
def test_a_kill_in_the_middle_leaves_no_mixture(folder, monkeypatch, moves):
    rename, count = Path.rename, iter(range(1, 100))

    def dies(self, target):
        if next(count) > moves:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        export(other(), folder, "lamba", Preprocess())
    assert not (folder / FILE).exists()


FULL = """
import resource, sys
import paddle
from paddle_restore.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
main("export_model")
"""


@pytest.mark.parametrize("format", ["paddle", "all"])
def test_a_disk_that_takes_no_more_is_one_line(tmp_path, tiny_recipe, format):
    """A limit on the size of files stands in for a full disk."""
    if format == "all":
        pytest.importorskip("paddle2onnx", reason="needs paddle2onnx")
    paddle = pytest.importorskip("paddle")
    weights = tmp_path / "w.pdparams"
    paddle.save(create_model("sid_unet", width=4).state_dict(), str(weights))
    words = ("-c", tiny_recipe, "--weights", weights, "--save_inference_dir", tmp_path / "out/a")
    done = subprocess.run(
        [sys.executable, "-c", FULL, *map(str, words), "--format", format],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())
