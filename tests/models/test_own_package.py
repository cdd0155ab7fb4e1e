"""A network in a package of its own goes from a recipe to a restored picture by the public commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml

from paddle_restore.alignment.procedural import procedural_input, procedural_weight
from paddle_restore.data.image import read_image, write_image
from tests.conftest import ROOT

NETWORK = '''
"""Two 3x3 convolutions on top of the picture."""

from paddle import nn

from paddle_restore.models import ForeignNames, Golden, register


class Toy(nn.Layer):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2D(3, width, 3, padding=1)
        self.last = nn.Conv2D(width, 3, 3, padding=1)

    def forward(self, x):
        return x + self.last(nn.functional.relu(self.first(x)))


@register(
    input="srgb",
    scale=1,
    multiple=2,
    halo=2,
    paper="none",
    repository="https://example.org",
    licence="MIT",
    small={"width": 2},
    foreign=ForeignNames([(r"^conv1\\\\.", "first."), (r"^conv2\\\\.", "last.")]),
    golden=Golden(
        "their_toy",
        args={"width": 2},
        objective={"kind": "supervised", "losses": {"l1": 1.0}},
        optimizer="sgd",
    ),
)
def toy(width: int = 4):
    return Toy(width)
'''.replace("\\\\", "\\")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An installed package (two modules' worth of files), pictures and a recipe."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "site" / "my_networks").mkdir(parents=True)
    (folder / "site" / "my_networks" / "__init__.py").touch()
    (folder / "site" / "my_networks" / "toy.py").write_text(NETWORK)
    info = folder / "site" / "my_networks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_networks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[paddle_restore.models]\ntoy = my_networks.toy\nbroken = my_networks.broken\n"
    )
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(2):
            clean = np.kron(rng.random((6, 7, 3)), np.ones((8, 8, 1)))
            noisy = clean + rng.normal(0, 0.1, clean.shape)
            write_image(folder / "pairs" / split / "groundtruth" / f"{number}.png", clean)
            write_image(folder / "pairs" / split / "input" / f"{number}.png", noisy)
    recipe = {
        "name": "toy",
        "model": {"id": "toy"},
        "data": {"kind": "pairs", "root": str(folder / "pairs"), "crop": 16},
        "objective": {"kind": "supervised", "losses": {"l1": 1.0}},
        "optimizer": {"lr": 1e-2},
        "train": {"iterations": 4, "batch_size": 2, "log_every": 1},
        "eval": {"metrics": ["psnr"]},
    }
    (folder / "toy.yml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="module")
def command(folder):
    path = os.pathsep.join([str(folder / "site"), str(ROOT)])

    def command(*words):
        main = "import sys; from paddle_restore.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", main, *map(str, words)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return command


def test_from_a_recipe_to_a_restored_picture(folder, command):
    run, exported = folder / "run", folder / "exported"
    done = command("train", "-c", "toy.yml", "--output_dir", run, "--device", "cpu")
    # Another module of the package is broken: that is one line and stops nothing.
    assert "model 'broken': module my_networks.broken cannot be imported" in done.stderr
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any(np.isfinite(row.get("loss", np.nan)) for row in losses)

    weights = run / "best_model" / "model.pdparams"
    done = command("eval", "-c", "toy.yml", "--weights", weights, "--device", "cpu")
    assert "psnr" in done.stdout

    done = command("export", "-c", "toy.yml", "--weights", weights, "--save_inference_dir", exported)
    assert "exported toy" in done.stdout
    assert yaml.safe_load((exported / "inference.yml").read_text())["spec"]["halo"] == 2

    noisy = folder / "pairs" / "val" / "input" / "0.png"
    pictures = {}
    for tile in ("none", "16"):  # 48x56: a dozen tiles
        output = folder / f"tile_{tile}.png"
        command("restore", noisy, "--model", exported, "--tile", tile, "--output", output)
        pictures[tile] = read_image(output).astype(int)
    assert pictures["none"].shape == (48, 56, 3)
    assert np.abs(pictures["16"] - pictures["none"]).max() <= 1  # no seams
    assert np.abs(pictures["none"] - read_image(noisy)).max() > 2  # and not the input

    # The same weights by the network's own code.
    output = folder / "own_code.png"
    command("restore", noisy, "--model", "toy", "--weights", weights, "--output", output)
    assert np.abs(read_image(output).astype(int) - pictures["none"]).max() <= 1


def test_golden_values_in_a_folder_of_its_own(folder, command):
    """As docs/networks.md tells; the other framework is NumPy, the training one step of gradient descent."""
    pytest.importorskip("reprod_log", reason="pip install 'paddle_restore[align]'")
    shapes = {
        "conv1.weight": (2, 3, 3, 3),
        "conv1.bias": (2,),
        "conv2.weight": (3, 2, 3, 3),
        "conv2.bias": (3,),
    }
    weights = {name: procedural_weight(name, shape, seed=7) for name, shape in shapes.items()}
    x = procedural_input("their_toy/input", (1, 3, 8, 10), seed=7)
    target = procedural_input("their_toy/gt", x.shape, seed=7)

    def network(last_bias):
        hidden = np.maximum(convolve(x[0], weights["conv1.weight"]) + weights["conv1.bias"][:, None, None], 0)
        return x + convolve(hidden, weights["conv2.weight"]) + last_bias[:, None, None]

    output = network(weights["conv2.bias"])
    loss = float(np.abs(output - target).mean())
    # The gradient of the last bias, which needs no chain rule.
    gradient = np.sign(output - target).sum(axis=(0, 2, 3)) / output.size
    golden = folder / "golden"
    golden.mkdir()
    values = {
        "state_dict": shapes,
        "input_shape": x.shape,
        "adam": {"lr": 0.1, "losses": [loss]},
        "weight_l2_after": {"conv2.bias": float(np.linalg.norm(weights["conv2.bias"] - 0.1 * gradient))},
    }
    (golden / "models.json").write_text(json.dumps({"seed": 7, "models": {"their_toy": values}}))
    np.savez(golden / "their_toy.npz", output=output.astype(np.float32))
    for model in ("toy", "all"):  # of all networks, the folder has this one
        done = command("align", "--model", model, "--golden", golden, "--output", folder / "aligned")
        rows = [line.split() for line in done.stdout.splitlines()[2:]]
        assert [row[:2] for row in rows] == [["toy", step] for step in ("forward", "loss", "train")]
        assert {row[-1] for row in rows} == {"yes"}


def convolve(x, kernel):
    """A 3x3 convolution with zero padding: (C, H, W) -> (D, H, W)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("chwij,dcij->dhw", windows, kernel)
