"""Lamba's chain: weight normalisation in training, folded everywhere else; ratios known and estimated."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import yaml

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.raw import read_raw
from paddle_restore.weights import load_pdparams
from tests.cli.test_benchmark import succeeds
from tests.cli.test_chain import assert_same_weights, command


@pytest.fixture(scope="module")
def recipe(tiny_recipe, tmp_path_factory):
    values = yaml.safe_load(tiny_recipe.read_text())
    values.update(name="tiny_lamba", model={"id": "lamba"}, train={"iterations": 2, "batch_size": 2})
    values["data"].update(ratio="auto", amplifier_m=5, flips=[0.2, 0.5, 0.0])
    path = tmp_path_factory.mktemp("lamba") / "lamba.yml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    command("tools/train.py", "-c", recipe, "--output_dir", folder, "--device", "cpu")
    return folder


def test_training_keeps_weight_normalisation(run):
    weights = load_pdparams(run / "latest/model.pdparams")
    assert {"head.weight_g", "head.weight_v", "head.bias"} <= set(weights)


def test_two_processes_give_the_one_process_weights(run, recipe, tmp_path):
    folder = tmp_path / "two"
    command(
        *("-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", tmp_path / "log"),
        *("tools/train.py", "-c", recipe, "-o", "train.batch_size=1", "--output_dir", folder),
    )
    assert_same_weights(run, folder, atol=1e-6)


def test_the_export_restores_with_the_recipes_way_to_amplify(run, recipe, sid_tree, tmp_path, capsys):
    """Estimated with the recipe's m even beside a raw target; a number or another m goes first."""
    weights, exported = run / "latest/model.pdparams", tmp_path / "inference"
    succeeds(capsys, "export", "-c", recipe, "--weights", weights, "--save_inference_dir", exported)
    package = yaml.safe_load((exported / "inference.yml").read_text())
    assert (package["preprocess"]["ratio"], package["preprocess"]["amplifier_m"]) == ("auto", 5)

    file, target = (sid_tree / f"Sony/{name}.ARW" for name in ("short/10003_00_0.1s", "long/10003_00_10s"))
    histogram = read_raw(file).histogram()
    files = ("--input", file, "--target", target)
    for words, wanted in (
        ((), estimate_ratio(*histogram, m=5)),
        (("--amplifier_m", 8), estimate_ratio(*histogram, m=8)),
        (("--ratio", 100), 100),
    ):
        eager = succeeds(
            *(capsys, "predict", "-c", recipe, "--weights", weights, *files, *words),
            *("--output", tmp_path / "eager", "--device", "cpu"),
        )
        graph = succeeds(
            *(capsys, "infer", "--model_dir", exported, *files, *words),
            *("--output", tmp_path / "graph", "--device", "cpu"),
        )
        for out in (eager, graph):
            assert float(re.search(r"ratio: ([\d.]+)", out)[1]) == pytest.approx(wanted, abs=0.06)
        a, b = (cv2.imread(str(tmp_path / name / f"{file.stem}.png")) for name in ("eager", "graph"))
        assert a.shape == (95, 110, 3)
        assert np.abs(a.astype(int) - b).max() <= 1
