"""The chain on folders of pairs: progressive training that resumes, evaluation, files in their own form."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from paddle_restore.cli.main import main
from paddle_restore.data.image import write_image
from paddle_restore.engine.config import load_config
from paddle_restore.engine.optim import Plan
from paddle_restore.weights import load_pdparams
from tests.conftest import ROOT


def run(*words, code=0):
    with pytest.raises(SystemExit) as stop:
        main(argv=[str(word) for word in words])
    assert stop.value.code == code


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    """Two stages of other crops and batches, mix-up from the third epoch, five pairs."""
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for number in range(5):
        clean = np.kron(rng.random((5, 6, 3)), np.ones((5, 5, 1)))
        noisy = clean + rng.normal(0, 0.05, clean.shape)
        for split in ("train", "val") if number < 2 else ("train",):
            write_image(root / split / f"input/{number}.png", noisy)
            write_image(root / split / f"groundtruth/{number}.png", clean)
    values = {
        "name": "tiny_pairs",
        "model": {"id": "mirnet_v2_small", "args": {"width": 8, "groups": [1]}},
        "data": {"kind": "pairs", "root": str(root)},
        "objective": {"kind": "supervised", "losses": {"charbonnier_clipped": 1.0}},
        "optimizer": {"lr": 1e-3, "weight_decay": 1e-8},
        "schedule": {"kind": "cosine", "warmup": 1, "min_lr": 1e-6},
        "train": {
            "stages": [
                {"epochs": 2, "crop": 12, "batch_size": 3},
                {"epochs": 2, "crop": 16, "batch_size": 2},
            ],
            "mixup": {"from_epoch": 3},
            "log_every": 1,
        },
        "save": {"keep_at": [6]},
        "eval": {"metrics": ["psnr", "ssim_y_matlab"]},
    }
    path = root / "recipe.yml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def trained(recipe) -> Path:
    folder = recipe.parent / "run"
    run("train", "-c", recipe, "--output_dir", folder, "--device", "cpu")
    return folder


def test_a_run_resumes_in_the_middle_of_a_stage(recipe, trained, tmp_path):
    """Iteration 6 of 10 is the second of six in the second stage, where mix-up is on."""
    run("train", "-c", recipe, "--output_dir", tmp_path / "on", "--resume", trained / "iter_6")
    ours, theirs = (load_pdparams(f / "latest/model.pdparams") for f in (tmp_path / "on", trained))
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    rows = [json.loads(line) for line in (tmp_path / "on/metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows if row["phase"] == "train"] == [7, 8, 9, 10]


def test_mixup_changes_the_training_from_its_epoch_on(recipe, trained, tmp_path):
    run("train", "-c", recipe, "--output_dir", tmp_path, "-o", "train.mixup=null")
    losses = [
        [
            row["loss"]
            for row in map(json.loads, (f / "metrics.jsonl").read_text().splitlines())
            if "loss" in row
        ]
        for f in (tmp_path, trained)
    ]
    assert losses[0][:4] == losses[1][:4]
    assert losses[0][4:] != losses[1][4:]


def test_evaluation_names_protocols_and_the_noisy_baseline(recipe, trained, capsys):
    run("eval", "-c", recipe, "--weights", trained / "best_model/model.pdparams")
    out = capsys.readouterr().out
    assert "psnr of input" in out
    assert "ssim_y_matlab" in out
    assert "image_name: 1, psnr: " in out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_files_come_out_in_their_own_form(recipe, trained, tmp_path, dtype, channels):
    shape = (14, 18) if channels == 1 else (14, 18, channels)
    top = np.iinfo(dtype).max
    picture = np.random.default_rng(0).integers(top // 4, top // 2, shape).astype(dtype)
    for suffix in ("png", "tif"):
        write_image(tmp_path / f"in/{suffix}.{suffix}", picture)
    words = (
        "predict",
        "-c",
        recipe,
        "--weights",
        trained / "latest/model.pdparams",
        "--input",
        tmp_path / "in",
    )
    run(*words, "--output", tmp_path / "out")
    for suffix in ("png", "tif"):
        restored = cv2.imread(str(tmp_path / f"out/{suffix}.{suffix}"), cv2.IMREAD_UNCHANGED)
        assert (restored.shape, restored.dtype) == (shape, dtype)
        if channels == 4:
            np.testing.assert_array_equal(restored[..., 3], picture[..., 3])
    run(*words, "--output", tmp_path / "other", "--format", "png", "--depth", 16)
    assert cv2.imread(str(tmp_path / "other/tif.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_the_input_is_not_written_over(recipe, trained, tmp_path, capsys):
    write_image(tmp_path / "a.png", np.zeros((16, 16, 3)))
    words = ("predict", "-c", recipe, "--weights", trained / "latest/model.pdparams")
    run(*words, "--input", tmp_path / "a.png", "--output", tmp_path, code=2)
    assert "is the input itself" in capsys.readouterr().err


def test_a_broken_picture_in_a_folder_leaves_the_rest(recipe, trained, tmp_path, capfd):
    write_image(tmp_path / "in/a.png", np.zeros((16, 16, 3)))
    (tmp_path / "in/b.png").write_bytes((tmp_path / "in/a.png").read_bytes()[:-9])
    words = ("predict", "-c", recipe, "--weights", trained / "latest/model.pdparams")
    run(*words, "--input", tmp_path / "in", "--output", tmp_path / "out", code=1)
    errors = [line for line in capfd.readouterr().err.splitlines() if "b.png" in line]
    assert len(errors) == 1
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.stages=[{epochs: 1, batch_size: 1, crop: 8}, {epochs: 1, batch_size: 1, crop: 99}]",
            "smaller than the crop of 99",
        ),
        ("data.root=/none", "/none/train: expected input/"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(recipe, tmp_path, capsys, override, message):
    run("train", "-c", recipe, "--output_dir", tmp_path / "run", "-o", override, code=2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "iterations", "epochs"),
    [("sidd_1card", 30 * 12000 + 15 * 16000 + 10 * 24000 + 5 * 48000, 60), ("sidd_official", 300000, None)],
)
def test_the_published_plans(name, iterations, epochs):
    """300 patches of 320 pairs, which the reproduction's log counts too."""
    plan = Plan(load_config(ROOT / f"configs/mirnet_v2/{name}.yml"), samples=96000)
    assert plan.iterations == iterations
    assert epochs in (None, plan.epochs)
    if epochs:
        quarter = sorted(plan.due(0.25))
        assert quarter[:4] == [3000, 6000, 9000, 12000]
        assert quarter[-2:] == [iterations - 12000, iterations]
    assert [stage.crop for stage in plan.stages][:4] == [128, 160, 192, 256]
