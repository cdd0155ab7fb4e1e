"""What users get wrong: one line on stderr, exit code 2, nothing half-written."""

from __future__ import annotations

import os
import pickle

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from paddle_restore import create_model
from paddle_restore.cli.main import main
from paddle_restore.data.image import write_image
from tests.conftest import ROOT
from tests.weights import test_reader, test_tensorflow, test_unpickle


def fails(capsys, *words) -> str:
    with pytest.raises(SystemExit) as stop:
        main(argv=[str(word) for word in words])
    error = capsys.readouterr().err
    assert stop.value.code == 2, error
    lines = [line for line in error.splitlines() if line]
    assert len(lines) == 1, error
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.pdparams"
    paddle.save(create_model("sid_unet", width=4).state_dict(), str(path))
    return path


def test_an_unknown_key_names_the_nearest(capsys, tiny_recipe, tmp_path):
    words = ("train", "-c", tiny_recipe, "--output_dir", tmp_path / "run", "-o", "train.epoch=1")
    assert "unknown key 'train.epoch'; did you mean 'epochs'" in fails(capsys, *words)
    assert not (tmp_path / "run").exists()


def test_a_missing_list(capsys, tiny_recipe, tmp_path):
    words = ("train", "-c", tiny_recipe, "--output_dir", tmp_path / "run", "-o", "data.train_list=none.txt")
    assert "none.txt: no such list" in fails(capsys, *words)
    assert not (tmp_path / "run").exists()


def test_a_jpeg_for_a_raw_network(capsys, tiny_recipe, weights, tmp_path):
    write_image(tmp_path / "a.jpg", np.zeros((64, 64, 3)))
    words = ("predict", "-c", tiny_recipe, "--weights", weights, "--input", tmp_path / "a.jpg")
    assert "is a picture, not a raw file" in fails(capsys, *words, "--output", tmp_path / "out")


def test_weights_of_another_network_say_which_keys_differ(capsys, tiny_recipe, weights, tmp_path):
    words = ("eval", "-c", tiny_recipe, "--weights", weights, "-o", "model.args.width=8")
    assert "encoder.0.conv1.weight" in fails(capsys, *words)
    paddle.save({"other.weight": paddle.zeros([2])}, str(tmp_path / "other.pdparams"))
    words = ("eval", "-c", tiny_recipe, "--weights", tmp_path / "other.pdparams")
    assert "other.weight" in fails(capsys, *words)


@pytest.mark.parametrize("command", ["eval", "predict", "export"])
def test_missing_weights(capsys, tiny_recipe, tmp_path, command):
    more = {
        "eval": (),
        "predict": ("--input", "x", "--output", tmp_path / "out"),
        "export": ("--save_inference_dir", tmp_path / "out"),
    }[command]
    assert "none.pdparams" in fails(
        capsys, command, "-c", tiny_recipe, "--weights", tmp_path / "none.pdparams", *more
    )
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_not_exported(capsys, tmp_path):
    words = ("infer", "--model_dir", tmp_path, "--input", "x", "--output", tmp_path / "out")
    assert "is not an exported model" in fails(capsys, *words)


def test_an_output_folder_that_cannot_be_written(capsys, tiny_recipe, weights, sid_tree, tmp_path):
    (tmp_path / "file").write_text("")
    file = next((sid_tree / "Sony/short").iterdir())
    words = ("predict", "-c", tiny_recipe, "--weights", weights, "--input", file)
    assert "cannot write there" in fails(capsys, *words, "--output", tmp_path / "file" / "out")
    assert "cannot write there" in fails(
        capsys, "train", "-c", tiny_recipe, "--output_dir", tmp_path / "file" / "run"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(capsys, tiny_recipe, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    words = ("train", "-c", tiny_recipe, "--output_dir", tmp_path / "closed" / "run")
    assert "cannot write there" in fails(capsys, *words)


def test_mixed_precision_on_cpu(capsys, tiny_recipe, tmp_path):
    words = (
        "train",
        "-c",
        tiny_recipe,
        "--device",
        "cpu",
        "--output_dir",
        tmp_path / "run",
        "-o",
        "train.amp=O1",
    )
    assert "mixed precision needs a GPU" in fails(capsys, *words)


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="this Paddle may find a GPU")
def test_a_gpu_that_is_not_there(capsys, tiny_recipe, tmp_path):
    words = ("train", "-c", tiny_recipe, "--device", "gpu", "--output_dir", tmp_path / "run")
    assert "finds no GPU" in fails(capsys, *words)


def test_an_unknown_model(capsys, tiny_recipe, tmp_path):
    words = ("train", "-c", tiny_recipe, "--output_dir", tmp_path / "run", "-o", "model.id=sid_unett")
    assert "unknown model 'sid_unett'; did you mean 'sid_unet'" in fails(capsys, *words)


def test_a_non_finite_loss_names_the_iteration_and_keeps_the_checkpoint(capsys, tiny_recipe, tmp_path):
    words = (
        "train",
        "-c",
        tiny_recipe,
        "--output_dir",
        tmp_path / "run",
        "-o",
        "optimizer.lr=1e30",
        "save.every=0.5",
    )
    line = fails(capsys, *words)
    assert "non-finite loss at iteration 2/4" in line
    assert (tmp_path / "run/latest/model.pdparams").is_file()


def test_nothing_to_resume_from(capsys, tiny_recipe, tmp_path):
    words = ("train", "-c", tiny_recipe, "--output_dir", tmp_path / "run", "--resume", tmp_path / "none")
    assert "holds no checkpoint to resume from" in fails(capsys, *words)


def hostile_files(folder):
    """(name, bytes, what the line must say): one of every kind that tests/weights knows."""
    gadgets = list(test_unpickle.gadgets(folder / "ran"))
    for position, (name, value) in enumerate(gadgets):
        yield f"gadget{position}.pdparams", pickle.dumps(value, 4), name
    yield "empty.pth", b"", "is empty"
    yield "cut.pth", (ROOT / "tests/golden/pytorch_zip.pth").read_bytes()[:900], "cut.pth"
    yield "cut.pdparams", pickle.dumps({"w": np.zeros(9)}, 4)[:-20], "truncated"
    yield "big.pth", test_reader.ZIPS["big-endian"][0], "big-endian"
    yield "huge.pth", test_reader.ZIPS["huge by shape"][0], "huge.pth"
    yield "huge.safetensors", test_reader.SAFETENSORS["huge shape"][0], "damaged"
    yield "huge.index", test_tensorflow.BAD["huge shape"][0], "claims shape"


def test_hostile_checkpoints_are_one_line_and_nothing_runs(capsys, tmp_path):
    output = tmp_path / "ours.pdparams"
    (tmp_path / "huge.data-00000-of-00001").write_bytes(b"\0" * 24)
    for name, data, message in hostile_files(tmp_path):
        (tmp_path / name).write_bytes(data)
        line = fails(capsys, "convert_weights", "--source", tmp_path / name, "--output", output)
        assert message in line
        assert str(tmp_path) in line
        assert not (tmp_path / "ran").exists()
        assert not output.exists()


def test_a_published_checkpoint_of_another_network(capsys, tiny_recipe, tmp_path):
    file = tmp_path / "w.safetensors"
    save_file({"conv2x.0.weight_g": np.ones((2, 1, 1, 1), np.float32)}, file)
    assert "convert it with tools/convert_weights.py" in fails(
        capsys, "eval", "-c", tiny_recipe, "--weights", file
    )
