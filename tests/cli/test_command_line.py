"""The program's help, version, hints and completion; closed pipes and Ctrl-C."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import paddle_restore
from paddle_restore.cli.main import COMMANDS, GROUPS, main, make_parser
from paddle_restore.data.image import write_image
from tests.cli.test_mistakes import fails
from tests.conftest import ROOT


def said(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(argv=list(words))
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_version(capsys):
    assert said(capsys, "--version") == f"paddle-restore {paddle_restore.__version__}\n"


def test_the_overview_lists_every_command_in_a_group(capsys):
    text = said(capsys, "--help")
    for title, group in GROUPS.items():
        part = text.split(f"\n{title}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines()] == list(group)
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_its_command_and_fits_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parser = make_parser(command)
    text = parser.format_help()
    assert text.startswith(f"usage: paddle-restore {command} ")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for action in parser._actions:
        if action.option_strings and action.default not in (None, False, "", [], "==SUPPRESS=="):
            assert "default" in parser._get_formatter()._get_help_string(action), action.option_strings


def test_a_mistyped_word_names_the_nearest(capsys):
    assert "retsore: is no command; did you mean 'restore'?" in fails(capsys, "retsore", "a.png")
    assert "name a command (paddle-restore --help lists them)" in fails(capsys)
    assert "--stength 2; did you mean '--strength'?" in fails(
        capsys, "restore", "a.png", "--output", "b.png", "--stength", "2"
    )
    assert "did you mean" not in fails(capsys, "restore", "a.png", "--output", "b.png", "--zzzz")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys, tmp_path, shell):
    pytest.importorskip("shtab", reason="needs shtab: pip install 'paddle_restore[completion]'")
    script = said(capsys, "completion", shell)
    assert all(word in script for word in ("prepare_sidd", "--model_dir" if shell != "fish" else "model_dir"))
    if shell == "bash" and shutil.which("bash"):
        (tmp_path / "script").write_text(script)
        ask = """source $1; COMP_WORDS=(paddle-restore restore --stre); COMP_CWORD=2
        _shtab_paddle_restore; echo "${COMPREPLY[@]}" """
        done = subprocess.run(
            ["bash", "-c", ask, "bash", tmp_path / "script"], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["--strength"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name in "abcd":
        write_image(folder / f"{name}.png", np.full((32, 32, 3), 0.5))
    return folder


def test_a_closed_pipe_ends_the_printing_and_not_the_work(shipped, pictures, tmp_path):
    command = [sys.executable, "-m", "paddle_restore", "restore", pictures, "--output", tmp_path / "out"]
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("image_name: ")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def _heed_ctrl_c():
    """A shell starts its background jobs with SIGINT ignored, and whatever they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    "module", ["argparse", "numpy", "paddle.base.core", "paddle_restore.inference.restorer"]
)
def test_ctrl_c_while_libraries_are_imported_is_one_line(shipped, pictures, tmp_path, module):
    """Some of them make an ImportError of it, with two lines of their own and a traceback."""
    line = f"""
import os, runpy, signal, sys
class Early:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
for name in [name for name in sys.modules if name.split(".")[0] == "argparse"]:
    del sys.modules[name]
sys.meta_path.insert(0, Early())
sys.argv = ["paddle-restore", "restore", {str(pictures / "a.png")!r}, "--output", {str(tmp_path / "a.png")!r}]
runpy.run_module("paddle_restore", run_name="__main__", alter_sys=True)
"""
    environment = {"PATH": "/usr/bin:/bin", "GLIBC_TUNABLES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", line],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        preexec_fn=_heed_ctrl_c,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert not (tmp_path / "a.png").exists()


def test_ctrl_c_of_the_work_is_one_line(shipped, tmp_path):
    write_image(tmp_path / "large.png", np.random.default_rng(0).random((1500, 2000, 3)))
    command = [sys.executable, "-m", "paddle_restore", "restore", tmp_path / "large.png"]
    process = subprocess.Popen(
        [*map(str, command), "--output", str(tmp_path / "out.png"), "--self_ensemble", "x8", "--tile", "336"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_ctrl_c,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(6)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == "interrupted\n"
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["large.png"]


def test_a_folder_that_cannot_be_read_is_one_line(capsys, tmp_path, monkeypatch):
    (tmp_path / "inference.yml").write_text("format: 1")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refused)
    words = ("infer", "--model_dir", tmp_path, "--input", "a.png", "--output", "b.png")
    assert re.search(r"inference.yml: cannot be read \(Permission denied\)", fails(capsys, *words))


def test_a_path_beyond_the_locale_is_one_line(shipped_copy, pictures, tmp_path):
    environment = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    words = (
        "infer",
        "--model_dir",
        shipped_copy,
        "--input",
        pictures / "a.png",
        "--output",
        tmp_path / "a.png",
    )
    done = subprocess.run(
        [sys.executable, "-m", "paddle_restore", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(b"error: ")
    assert done.stderr.count(b"\n") == 1
    assert b"LC_ALL=C.UTF-8" in done.stderr


@pytest.fixture
def shipped_copy(shipped, tmp_path):
    return shutil.copytree(shipped, tmp_path / "模型")
