"""An invertible network through the common commands: two passes, noise, samples, both kinds of export."""

from __future__ import annotations

import re
import shutil

import numpy as np
import paddle
import pytest
import yaml

from paddle_restore import create_model
from paddle_restore.data.image import read_image, write_image
from paddle_restore.metrics import evaluate
from paddle_restore.weights import load_pdparams
from tests.cli.test_chain import command


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for number in range(count):
            clean = np.kron(rng.random((5, 6, 3)), np.ones((8, 8, 1)))
            write_image(root / split / "groundtruth" / f"{number}.png", clean)
            write_image(root / split / "input" / f"{number}.png", clean + rng.normal(0, 0.1, clean.shape))
    values = {
        "name": "latent",
        "model": {"id": "invdn", "args": {"width": 8, "blocks": 1}},
        "data": {"kind": "pairs", "root": str(root), "crop": 32, "lq": 4},
        "objective": {"kind": "invertible"},
        "optimizer": {"lr": 1e-3, "clip_norm": 10},
        "train": {"iterations": 3, "batch_size": 2, "log_every": 1},
        "eval": {"metrics": ["psnr"]},
    }
    (root / "recipe.yml").write_text(yaml.safe_dump(values))
    return root / "recipe.yml"


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    command("tools/train.py", "-c", recipe, "--output_dir", folder)
    return folder


def test_two_processes_draw_the_same_noise(recipe, run, tmp_path):
    command(
        *("-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", tmp_path / "log"),
        *("tools/train.py", "-c", recipe, "-o", "train.batch_size=1", "--output_dir", tmp_path / "two"),
    )
    one, two = (load_pdparams(folder / "latest/model.pdparams") for folder in (run, tmp_path / "two"))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=1e-6, err_msg=name)


def test_reports_say_with_or_without_ensemble(recipe, run):
    words = ("tools/eval.py", "-c", recipe, "--weights", run / "best_model/model.pdparams")
    single = command(*words).stdout
    mean = command(*words, "--self_ensemble", "x8", "--samples", 4).stdout
    assert "evaluated with no self-ensemble\n" in single
    assert "evaluated with x8 self-ensemble, mean of 4 samples" in mean
    scores = [float(re.search(r"^\[eval\] psnr: ([\d.]+)", out, re.M)[1]) for out in (single, mean)]
    assert scores[1] > scores[0]  # averaging takes away the noise of the draws


def test_the_same_seed_gives_the_same_picture(recipe, run, tmp_path):
    picture = recipe.parent / "val/input/0.png"
    words = (
        "tools/predict.py",
        "-c",
        recipe,
        "--weights",
        run / "best_model/model.pdparams",
        "--input",
        picture,
    )
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        command(*words, "--output", tmp_path / name, "--seed", seed)
        made.append(read_image(tmp_path / name / "0.png"))
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@pytest.mark.parametrize("noise", ["input", "inside"])
def test_infer_handles_both_kinds_of_noise(recipe, run, tmp_path, noise):
    weights = run / "best_model/model.pdparams"
    folder, picture = tmp_path / "inference", recipe.parent / "val/input/0.png"
    command(
        *("tools/export_model.py", "-c", recipe, "--weights", weights),
        *("--save_inference_dir", folder, "--noise", noise),
    )
    package = yaml.safe_load((folder / "inference.yml").read_text())
    assert package["graph"]["inputs"] == (["input", "noise"] if noise == "input" else ["input"])
    words = ("--input", picture, "--seed", 5, "--samples", 2)
    command("tools/infer.py", "--model_dir", folder, *words, "--output", tmp_path / "graph")
    graph = read_image(tmp_path / "graph/0.png").astype(int)
    assert graph.shape == (40, 48, 3)
    if noise == "input":  # the same noise gives the eager network's picture
        command(
            *("tools/predict.py", "-c", recipe, "--weights", weights),
            *(*words, "--output", tmp_path / "eager"),
        )
        assert np.abs(graph - read_image(tmp_path / "eager/0.png")).max() <= 1
    else:
        shutil.rmtree(tmp_path / "graph")
        command("tools/infer.py", "--model_dir", folder, *words, "--output", tmp_path / "graph")
        assert np.abs(graph - read_image(tmp_path / "graph/0.png")).max() > 1  # drawn anew


def test_predict_and_infer_measure_by_the_recipes_protocols(recipe, run, tmp_path):
    """SIDD's SSIM is that of Y; the exported folder knows the recipe's metrics."""
    weights, folder = run / "best_model/model.pdparams", tmp_path / "inference"
    names = ("psnr", "ssim_y_matlab")
    words = ("-c", recipe, "-o", f"eval.metrics=[{', '.join(names)}]", "--weights", weights)
    command("tools/export_model.py", *words, "--save_inference_dir", folder)
    assert yaml.safe_load((folder / "inference.yml").read_text())["metrics"] == list(names)
    data = recipe.parent / "val"
    files = ("--input", data / "input/0.png", "--target", data / "groundtruth/0.png", "--output", tmp_path)
    reference = read_image(data / "groundtruth/0.png") / 255
    for program in (("tools/predict.py", *words), ("tools/infer.py", "--model_dir", folder)):
        out = command(*program, *files).stdout
        found = re.search(r"image_name: \S+, psnr: ([\d.]+), ssim_y_matlab: ([\d.]+) ->", out)
        assert "ssim_rgb_matlab" not in out
        # of the float picture: the written one is rounded to 8 bits
        wanted = evaluate(read_image(tmp_path / "0.png") / 255, reference, names)
        assert float(found[1]) == pytest.approx(wanted["psnr"], abs=0.02)
        assert float(found[2]) == pytest.approx(wanted["ssim_y_matlab"], abs=0.002)


def test_several_networks_in_one_table(picture_recipe, tmp_path):
    """InvDN, which draws noise, beside MIRNetV2, which another recipe describes, on the same pictures."""
    recipe = yaml.safe_load(picture_recipe.read_text())
    recipe["model"] = {"id": "mirnet_v2_small", "args": {"width": 8, "groups": [1]}}
    recipe["objective"] = {"kind": "supervised", "losses": {"l1": 1.0}}
    recipe["data"].pop("lq")
    (tmp_path / "other.yml").write_text(yaml.safe_dump(recipe))
    for name, model in (
        ("invdn", create_model("invdn", width=8, blocks=1)),
        ("small", create_model("mirnet_v2_small", width=8, groups=[1])),
    ):
        paddle.save(model.state_dict(), str(tmp_path / f"{name}.pdparams"))
    given = (tmp_path / "invdn.pdparams", f"{tmp_path / 'other.yml'}={tmp_path / 'small.pdparams'}")
    words = ("tools/eval.py", "-c", picture_recipe, "--weights", *given)
    out = command(*words).stdout
    table = [line for line in out.splitlines() if line.startswith("|")]
    headers, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    assert headers == ["network", "weights", "psnr", "parameters", "s per picture"]
    assert [row[0] for row in rows] == ["invdn", "mirnet_v2_small"]
    assert [row[2] for row in rows] == re.findall(r"^\[eval\] psnr: ([\d.]+)", out, re.MULTILINE)
    assert all(float(row[4]) > 0 and int(row[3].replace(",", "")) > 1000 for row in rows)
    refused = command(*words, "--save_images", tmp_path / "out", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
