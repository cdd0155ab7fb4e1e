"""The wheel and the source distribution: built, checked, and used from outside the clone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from paddle_restore.recipe_files import find_recipe, list_recipes, recipe_folder
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with both, built as a release is."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory) -> Path:
    """The wheel's files as pip would install them, without a clone around them."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def run(unpacked, where, *words):
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)


def test_the_wheel_has_what_the_commands_need(unpacked):
    package = unpacked / "paddle_restore"
    for name in (
        "py.typed",
        "configs/sid/demo.yml",
        "configs/_base_/sid.yml",
        "configs/cameras/sony_a7s2.yml",
    ):
        assert (package / name).is_file(), name
    assert list((package / "serving/page").iterdir())
    assert sorted(path.name for path in unpacked.iterdir())[0] == "paddle_restore"
    assert not [
        path for path in unpacked.iterdir() if path.name in ("tests", "tools", "benchmarks", "configs")
    ]


def test_the_source_distribution_builds_the_same_wheel(built):
    """`python -m build` makes the wheel from the source distribution."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "README.md", "LICENSE", "configs/sid/demo.yml"} <= names


def test_twine_is_content(built):
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_recipes_by_name_from_the_wheel(unpacked, tmp_path):
    listed = run(unpacked, tmp_path, "-m", "paddle_restore", "recipes")
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list_recipes()
    code = (
        "import paddle_restore; from paddle_restore.engine.config import load_config\n"
        "print(paddle_restore.__file__)\n"
        "for name in ('sid/demo', 'sid/demo.yml', 'configs/sid/demo.yml'):\n"
        "    print(load_config(name).model.id)\n"
    )
    done = run(unpacked, tmp_path, "-c", code)
    assert done.stdout.splitlines() == [f"{unpacked}/paddle_restore/__init__.py", *["sid_unet"] * 3], (
        done.stderr
    )


def test_the_camera_of_the_demo_data_is_in_the_wheel(unpacked, tmp_path):
    code = (
        "from paddle_restore.cli.prepare_demo import CAMERA\n"
        "from paddle_restore.data.synthetic.noise import load_camera\n"
        "print(load_camera(CAMERA).white_level)\n"
    )
    done = run(unpacked, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


def test_a_recipe_is_found_by_path_and_by_name(tmp_path, monkeypatch):
    own = tmp_path / "sid" / "demo.yml"
    own.parent.mkdir()
    own.write_text("name: own")
    assert find_recipe(own) == own
    monkeypatch.chdir(tmp_path)
    assert find_recipe("sid/demo.yml") == Path("sid/demo.yml")  # a file of one's own goes first
    assert find_recipe("sid/demo") == recipe_folder() / "sid/demo.yml"
    assert find_recipe("configs/mirnet_v2/demo.yml") == recipe_folder() / "mirnet_v2/demo.yml"
    for other in ("sid/nothing", "_base_/sid", "cameras/sony_a7s2", "../sid/demo"):
        assert find_recipe(other) == Path(other)
    assert "sid/demo" in list_recipes()
    assert not [name for name in list_recipes() if name.startswith(("_base_", "cameras"))]
