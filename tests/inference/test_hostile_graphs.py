"""Graphs of strangers: no operator that opens files runs, and a damaged graph is one line, soon."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from paddle_restore.errors import UserError
from paddle_restore.inference import onnx_file
from paddle_restore.inference.backends import open_network
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.paddle_file import OPERATORS, check_program
from paddle_restore.models import create_model
from paddle_restore.shipped import shipped_folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "sid"
    export(create_model("sid_unet", width=4), folder, "sid_unet", Preprocess())
    if not (folder / "model.json").is_file():
        pytest.skip("PaddlePaddle 2.6 exports model.pdmodel")
    return folder


def changed(exported, folder, change):
    """A copy of the folder whose operators `change` gets."""
    shutil.copytree(exported, folder)
    program = json.loads((folder / "model.json").read_text())
    change(program["program"]["regions"][0]["blocks"][0]["ops"])
    (folder / "model.json").write_text(json.dumps(program))
    return folder


def operator(name, inner=()):
    path = {"AT": {"#": "0.a_str", "D": "/etc/passwd"}, "N": "filename"}
    return {"#": name, "A": [path], "I": [], "O": [], "OA": [], **dict(inner)}


NESTED = {"regions": [{"blocks": [{"ops": [operator("1.read_file")]}]}]}


@pytest.mark.parametrize(
    ("added", "named"),
    [
        (operator("1.read_file"), "read_file"),
        (operator("1.save_combine"), "save_combine"),
        (operator("1.load_combine_"), "load_combine_"),
        (operator("1.py_func"), "py_func"),
        (operator("2.relu"), "2.relu"),
        (operator("1.relu", NESTED), "read_file"),
    ],
)
def test_an_operator_that_does_not_only_compute_is_refused(exported, tmp_path, added, named):
    folder = changed(exported, tmp_path / "a", lambda operators: operators.insert(0, added))
    with pytest.raises(UserError, match=rf"names the operator '{named}', .* nothing ran"):
        open_network(folder)


def test_the_old_form_is_checked_too(tmp_path):
    """The name of an operator of the shipped model.pdmodel is replaced by one of the same length."""
    folder = tmp_path / "a"
    shutil.copytree(shipped_folder(), folder)
    program = (folder / "model.pdmodel").read_bytes()
    check_program(folder / "model.pdmodel")
    assert program.count(b"\x1a\x06conv2d") >= 1
    (folder / "model.pdmodel").write_bytes(program.replace(b"\x1a\x06conv2d", b"\x1a\x06print2", 1))
    with pytest.raises(UserError, match="names the operator 'print2'"):
        open_network(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"{}",
        b'{"ops": [1]}',
        b'{"ops": [{"#": "1.relu", "#": "1.read_file"}]}',
        b'{"ops": [{"#": 5}]}',
        b"\xff\xfe",
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=range(8),
)
def test_what_is_no_program_is_one_line(tmp_path, content):
    for name in ("model.json", "model.pdmodel"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=r"is no program of Paddle, or broken"):
            check_program(tmp_path / name)


def test_a_program_that_paddle_cannot_read_is_one_line(exported, tmp_path):
    def cut(operators):
        operators[3].pop("O", None)
        operators[-1]["A"] = []

    with pytest.raises(UserError, match=r"Paddle Inference cannot load it .*export the model again"):
        open_network(changed(exported, tmp_path / "a", cut))


def test_no_operator_of_the_list_touches_files_or_runs_code():
    words = {"load", "save", "file", "print", "py", "run", "read", "while", "send", "recv", "engine", "func"}
    assert not [name for name in OPERATORS if words & set(name.split("_"))]


def test_the_version_of_an_onnx_files_operators(tmp_path):
    """OpenVINO counts up to it, for ever."""
    content = (shipped_folder() / "model.onnx").read_bytes()
    position = content.rindex(b"\x42\x04\x0a\x00\x10")  # opset_import: domain "", version
    version = content[position + 5]
    assert 10 <= version <= 30
    tail = content[position + 6 :]
    (tmp_path / "a.onnx").write_bytes(
        content[:position] + b"\x42\x09\x0a\x00\x10\x80\x80\x80\x80\x80\x20" + tail
    )
    with pytest.raises(UserError, match="is not an ONNX file, or broken"):
        onnx_file.read_onnx(tmp_path / "a.onnx")


def test_openvino_has_a_limit_of_time(monkeypatch, tmp_path):
    openvino = pytest.importorskip("paddle_restore.inference.backends.openvino")
    if openvino.openvino is None:
        pytest.skip("OpenVINO is not installed")
    monkeypatch.setattr(openvino, "OPENING_SECONDS", 0.2)
    monkeypatch.setattr(openvino.openvino.Core, "read_model", lambda *_: time.sleep(5))
    with pytest.raises(UserError, match=r"OpenVINO has not opened it within 0.2 s; export it again"):
        open_network(shipped_folder(), "openvino")


@pytest.mark.parametrize("case", ["hostile_graph/read_etc_passwd", "hostile_graph/save_combine_segfault"])
def test_the_shared_cases(shared, case):
    folder = shared / "cases/reliability" / case
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    with pytest.raises(UserError, match=r"names the operator '(read_file|save_combine)'"):
        check_program(folder / "model.json")
    # Through the backend too, which says something else where Paddle 2.6 cannot read this form.
    with pytest.raises(UserError, match=r"names the operator|was exported by Paddle 3"):
        open_network(folder)


def test_the_shared_graph_on_which_openvino_hangs(shared):
    pytest.importorskip("openvino", reason="needs OpenVINO")
    folder = Path(shared) / "cases/reliability/openvino_hang/hang_374"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    for backend in ("openvino", "onnx"):
        with pytest.raises(UserError, match="is not an ONNX file, or broken"):
            open_network(folder, backend)
