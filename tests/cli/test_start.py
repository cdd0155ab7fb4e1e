"""What the commands import: seconds differ from machine to machine, and imports do not."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.cli.main import make_parser
from paddle_restore.cli.restore import _colour_spaces, _formats
from paddle_restore.data.image import write_image
from paddle_restore.data.raw_options import RawOptions
from tests.package import run_python

RUN = """
import sys
from paddle_restore.cli.main import main

try:
    main(argv={words!r})
except SystemExit as end:
    assert end.code == 0, end.code
names = {{name.split(".")[0] for name in sys.modules}} & {{*{libraries!r}}}
print("imported:", *sorted(names))
"""
LIBRARIES = (
    *("paddle", "numpy", "cv2", "PIL", "rawpy", "tifffile", "imagecodecs", "pydantic", "yaml", "scipy"),
    *("tqdm", "psutil", "onnxruntime", "openvino", "onnx", "fastapi", "uvicorn"),
)


def imported(folder, *words, libraries=LIBRARIES) -> list[str]:
    out = run_python(RUN.format(words=list(map(str, words)), libraries=libraries), folder)
    return out.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", ["restore", "infer"])
def test_the_help_imports_no_library(tmp_path, command):
    assert imported(tmp_path, command, "--help") == []


@pytest.mark.parametrize(("backend", "library"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_picture_is_restored_without_paddle(tmp_path, shipped, backend, library):
    pytest.importorskip(library)
    write_image(tmp_path / "a.png", np.random.default_rng(0).random((40, 48, 3)))
    words = ("restore", tmp_path / "a.png", "--output", tmp_path / "b.png", "--backend", backend)
    found = imported(tmp_path, *words, libraries=("paddle", "onnx", "scipy", "fastapi", library))
    assert found == [library]
    assert (tmp_path / "b.png").is_file()


@pytest.mark.parametrize(("backend", "library"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_libraries_tell_nobody(tmp_path, shipped, monkeypatch, backend, library):
    """ONNX Runtime and OpenVINO keep numbers in the user's folders, which they send to their makers."""
    pytest.importorskip(library)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    write_image(tmp_path / "a.png", np.random.default_rng(0).random((40, 48, 3)))
    words = ("restore", tmp_path / "a.png", "--output", tmp_path / "b.png", "--backend", backend)
    assert imported(tmp_path, *words, libraries=(library, "openvino_telemetry")) == [library]
    assert not (tmp_path / "home").exists()


def test_the_help_names_what_the_options_take():
    text = make_parser("restore").format_help()
    for name in (*_formats(), *_colour_spaces()):
        assert name in text
    assert "{1,5,8}" in text
    for m in (1, 5, 8):
        RawOptions(amplifier_m=m)


@pytest.mark.parametrize("option", ["--format", "--colour_space"])
def test_other_names_are_refused_in_one_line(option, capsys):
    with pytest.raises(SystemExit) as end:
        make_parser("restore").parse_args(["a.png", "--output", "b", option, "nonsense"])
    assert end.value.code == 2
    assert f"argument {option}: invalid choice: 'nonsense' (choose from '" in capsys.readouterr().err
