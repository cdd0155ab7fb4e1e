"""The table of costs, and the table of picture quality."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest

from paddle_restore import create_model
from paddle_restore.cli.main import main
from paddle_restore.data.image import write_image
from paddle_restore.inference.export import export
from paddle_restore.inference.package import FILE, Preprocess, read_package
from tests.cli.test_mistakes import fails


def succeeds(capsys, *words) -> str:
    with pytest.raises(SystemExit) as stop:
        main(argv=[str(word) for word in words])
    printed = capsys.readouterr()
    assert stop.value.code == 0, printed.err
    return printed.out


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lamba") / "inference"
    export(create_model("lamba"), folder, "lamba", Preprocess())
    return folder


def test_networks_and_exports_stand_in_one_table(capsys, exported, tmp_path):
    """A 65x70 frame: Lamba takes it as 96x96, the mosaic's multiple; SID as 96x96 sensor pixels too."""
    report = tmp_path / "report.json"
    out = succeeds(
        *(capsys, "benchmark", "--model", "sid_unet,lamba", "--model_dir", exported, "--json", report),
        *("--input_size", "65x70", "--trials", 3, "--warmup", 1, "--device", "cpu"),
    )
    lines = [[cell.strip() for cell in line.split("|")] for line in out.splitlines() if line.startswith("|")]
    assert [line[1] for line in lines[2:]] == ["sid_unet", "lamba", "lamba"]
    rows = json.loads(report.read_text())
    assert [row["input"] for row in rows] == [[1, 4, 48, 48], [1, 1, 96, 96], [1, 1, 96, 96]]
    assert [row["backend"] for row in rows] == ["own code", "own code", "Paddle Inference"]
    # What export recorded is what the code counts.
    for key in ("parameters", "macs_direct", "macs_ptflops"):
        assert rows[1][key] == rows[2][key] > 0
    assert rows[1]["parameters"] == 784_768
    for row in rows:
        latency = row["latency_ms"]
        assert latency["trials"] == 3
        assert 0 < latency["min"] <= latency["median"] <= latency["max"]
        assert row["frames_per_second"] == pytest.approx(1000 / latency["median"])
    # SID's weights alone take 31 MB, Lamba's 3.
    assert rows[0]["peak_memory_bytes"] > 4 * rows[0]["parameters"]


def test_an_export_of_before_the_counts_is_still_measured(capsys, exported, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for file in exported.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    text = (folder / FILE).read_text()
    (folder / FILE).write_text(re.sub(r"^cost:\n(  .*\n)+", "", text, flags=re.M))
    assert read_package(folder).cost is None
    words = ("benchmark", "--model_dir", folder, "--input_size", "32x32", "--trials", 1, "--device", "cpu")
    assert "not recorded" in succeeds(capsys, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to measure"),
        (("--model", "lamba,sid_unett"), "unknown model 'sid_unett'"),
        (("--model_dir", "none"), "is not an exported model"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(capsys, words, message):
    assert message in fails(capsys, "benchmark", *words)


def test_a_mistake_in_the_measuring_process_is_one_line(capsys, exported, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    for file in exported.iterdir():
        (folder / file.name).write_bytes(
            file.read_bytes()[:200] if file.suffix in (".json", ".pdmodel") else file.read_bytes()
        )
    words = ("benchmark", "--model_dir", folder, "--input_size", "32x32", "--trials", 1, "--device", "cpu")
    assert "broken" in fails(capsys, *words)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        clean = cv2.GaussianBlur(rng.random((96, 200, 3)), (0, 0), 1)
        write_image(folder / f"gt/{name}.png", clean)
        write_image(folder / f"out/{name}.png", (clean + rng.normal(0, 0.02, clean.shape)).clip(0, 1))
    np.savez(folder / "p.npz", mu_pris_param=rng.random((1, 36)), cov_pris_param=np.eye(36))
    return folder


def test_quality_of_a_folder(capsys, pictures):
    words = (
        "--input",
        pictures / "out",
        "--target",
        pictures / "gt",
        "--niqe_parameters",
        pictures / "p.npz",
    )
    out = succeeds(capsys, "quality", *words)
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if "|" in line
    ]
    head, rows = table[0], {row[0]: dict(zip(table[0], row)) for row in table[2:]}
    assert head[:4] == ["picture", "niqe", "colourfulness", "psnr_uint8"]
    assert set(rows) == {"a.png", "b.png", "mean"}
    assert float(rows["a.png"]["psnr_uint8"]) == pytest.approx(34, abs=0.5)
    assert 1 < float(rows["a.png"]["delta_e2000"]) < 5
    mean = (float(rows["a.png"]["niqe"]) + float(rows["b.png"]["niqe"])) / 2
    assert float(rows["mean"]["niqe"]) == pytest.approx(mean, abs=1e-3)
    assert "parameters of p.npz sha256 " in out


def test_quality_without_parameters_or_target(capsys, pictures):
    out = succeeds(capsys, "quality", "--input", pictures / "out/a.png")
    assert "niqe: not measured" in out
    assert "psnr" not in out


def test_a_picture_too_small_for_niqe_is_named(capsys, pictures, tmp_path):
    write_image(tmp_path / "small.png", np.zeros((40, 40, 3)))
    words = ("quality", "--input", tmp_path / "small.png", "--niqe_parameters", pictures / "p.npz")
    assert "small.png: NIQE needs a picture of 96x192 at least" in fails(capsys, *words)


def test_compare_runs_every_way_that_is_installed(capsys, exported, tmp_path):
    report = tmp_path / "report.json"
    words = ("--compare", "--model_dir", exported, "--input_size", "32x64", "--trials", 2, "--warmup", 1)
    out = succeeds(capsys, "benchmark", *words, "--json", report)
    rows = json.loads(report.read_text())
    # The folder has no ONNX graph, and no weights that PyTorch could take.
    assert [(row["run by"], row["precision"]) for row in rows] == [("paddle", "fp32"), ("paddle", "bf16")]
    assert rows[0]["trials"] == 2
    assert rows[0]["max_difference"] == 0
    assert out.count("| lamba ") == 2
    if "failed" not in rows[1]:
        assert 20 < rows[1]["psnr"] < 100
    else:
        assert "bf16" in rows[1]["failed"]
