"""The examples of CONTRIBUTING.md as a package outside: a network of it trains, exports and restores."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from paddle_restore.data.image import write_image
from tests.conftest import ROOT

RECIPE = """
name: outside
model: {id: my_network, args: {width: 4}}
data: {kind: my_data, root: photos, crop: 16, sigma: 0.05}
objective: {kind: supervised, losses: {my_loss: 1.0}}
train: {iterations: 4, batch_size: 2}
eval: {every: 1, metrics: [my_error, my_roughness], best: my_error}
"""

COMMANDS = [
    "train -c outside.yml --output_dir run",
    "train -c outside.yml --output_dir dry --dry_run -o objective.kind=my_objective objective.weight=0.2",
    "eval -c outside.yml --weights run/best_model/model.pdparams",
    "export -c outside.yml --weights run/best_model/model.pdparams --save_inference_dir exported",
    "restore photos/0.png --model exported --output paddle.ppm --tile 16",
    "restore paddle.ppm --model exported --output again.png",
]
ONNX = [
    "export -c outside.yml --weights run/best_model/model.pdparams --save_inference_dir onnx --format onnx",
    "restore photos/0.png --model onnx --output restored --format ppm --backend my_backend",
]
RUN = """
import sys
from paddle_restore.cli.main import main

for line in sys.argv[1:]:
    command, *arguments = line.split()
    try:
        main(command, arguments)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{line}: exit code {end.code}")
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with the package as CONTRIBUTING.md shows it, installed, a recipe and photographs."""
    folder = tmp_path_factory.mktemp("outside")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    groups = re.findall(
        r'^\[project.entry-points."(.+)"\]\n(.+) = "(.+)"', files.pop("pyproject.toml"), re.MULTILINE
    )
    for name, code in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code)
    metadata = folder / "my_package-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text(
        "".join(f"[{group}]\n{name} = {module}\n" for group, name, module in groups)
    )
    assert {module for _, _, module in groups} == {f"my_package.{name.split('/')[1][:-3]}" for name in files}
    (folder / "outside.yml").write_text(RECIPE)
    (folder / "photos").mkdir()
    for index in range(3):
        ramp = (
            np.linspace(0, 255, 24 * 40 * 3).reshape(24, 40, 3)[:, ::-1]
            if index
            else np.full((24, 40, 3), 99.0)
        )
        write_image(folder / f"photos/{index}.png", ramp.astype(np.uint8))
    return folder


def run(folder, commands):
    paths = f"{folder}{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", RUN, *commands],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def picture(path):
    return np.asarray(Image.open(path)).astype(int)


def test_a_network_loss_metric_dataset_objective_and_format_of_another_package(outside):
    text = run(outside, COMMANDS)
    assert "my_error" in text
    assert "my_roughness" in text
    records = [json.loads(line) for line in (outside / "run/metrics.jsonl").read_text().splitlines()]
    errors = {r["iteration"]: r["my_error"] for r in records if "my_error" in r}
    best = json.loads((outside / "run/best_model/state.json").read_text())["best"]
    assert best["score"] == min(errors.values())
    noisy, restored = picture(outside / "photos/0.png"), picture(outside / "paddle.ppm")
    assert restored.shape == noisy.shape == picture(outside / "again.png").shape
    assert not np.array_equal(restored, noisy)


def test_a_backend_of_another_package(outside):
    pytest.importorskip("onnx")
    pytest.importorskip("paddle2onnx")
    run(outside, ONNX)
    ours, theirs = picture(outside / "paddle.ppm"), picture(outside / "restored/0.ppm")
    assert np.abs(ours - theirs).max() <= 1
