"""The whole chain by its public commands, each in a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from paddle_restore.weights import load_pdparams
from tests.conftest import ROOT


def command(*words, check=True, cwd=ROOT):
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def run(tiny_recipe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    command("tools/train.py", "-c", tiny_recipe, "--output_dir", folder, "--device", "cpu")
    return folder


@pytest.fixture(scope="module")
def exported(run, tiny_recipe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "inference"
    weights = run / "best_model/model.pdparams"
    command("tools/export_model.py", "-c", tiny_recipe, "--weights", weights, "--save_inference_dir", folder)
    return folder


def weights_of(run: Path, name: str = "latest") -> dict:
    return load_pdparams(run / name / "model.pdparams")


def assert_same_weights(a: Path, b: Path, atol: float) -> None:
    a, b = weights_of(a), weights_of(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=atol, err_msg=name)


def test_a_run_folder_holds_everything(run):
    for name in ("latest", "best_model"):
        assert {p.name for p in (run / name).iterdir()} == {"model.pdparams", "model.pdopt", "state.json"}
    assert (run / "config.yml").is_file()
    assert list((run / "vdl").iterdir())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["phase"], row["iteration"]) for row in rows] == [
        *[("train", i) for i in (1, 2, 3, 4)],
        ("eval", 4),
    ]
    assert rows[-1].keys() >= {"psnr_uint8", "ssim_rgb_matlab"}


def test_log_lines_parse_by_paddles_habit(run):
    line = re.compile(
        r"\[train\] epoch: (\d+)/2, iter: (\d+)/4, lr: [\d.e-]+, .*loss: [\d.]+, "
        r"avg_reader_cost: [\d.]+ sec, avg_batch_cost: [\d.]+ sec, "
        r"avg_samples: 2, avg_ips: [\d.]+ images/sec, eta: \d+:\d\d:\d\d$"
    )
    found = [
        match.groups() for match in map(line.search, (run / "train.log").read_text().splitlines()) if match
    ]
    assert found == [("1", "1"), ("1", "2"), ("2", "3"), ("2", "4")]


def test_resuming_goes_on_at_the_right_epoch_and_ends_the_same(run, tiny_recipe, tmp_path):
    """Two epochs, then two more: bitwise the run of four, with one line a step in the records."""
    resumed, straight = tmp_path / "resumed", tmp_path / "straight"
    shutil.copytree(run, resumed)
    longer = ("-c", tiny_recipe, "-o", "train.epochs=4")
    out = command("tools/train.py", *longer, "--output_dir", resumed, "--resume", "auto").stdout
    command("tools/train.py", *longer, "--output_dir", straight)
    assert "after iteration 4 of 8" in out
    assert "epoch: 3/4, iter: 5/8" in out
    assert "epoch: 1/4" not in out
    assert_same_weights(resumed, straight, atol=0)
    steps = [json.loads(line) for line in (resumed / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in steps if row["phase"] == "train"] == list(range(1, 9))


def test_a_finished_run_is_not_written_over(run, tiny_recipe):
    done = command("tools/train.py", "-c", tiny_recipe, "--output_dir", run, check=False)
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert done.stderr.count("\n") == 1


def test_two_processes_give_the_one_process_weights(run, tiny_recipe, tmp_path):
    folder = tmp_path / "two"
    command(
        *("-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", tmp_path / "log"),
        *("tools/train.py", "-c", tiny_recipe, "-o", "train.batch_size=1", "--output_dir", folder),
    )
    assert_same_weights(run, folder, atol=1e-6)
    scores = [json.loads((p / "metrics.jsonl").read_text().splitlines()[-1]) for p in (run, folder)]
    assert scores[0]["psnr_uint8"] == pytest.approx(scores[1]["psnr_uint8"], abs=1e-3)


def test_eval_prints_a_table_by_ratio_and_saves_pictures(run, tiny_recipe, tmp_path):
    weights = run / "best_model/model.pdparams"
    out = command("tools/eval.py", "-c", tiny_recipe, "--weights", weights, "--save_images", tmp_path).stdout
    for row in ("all", "x100", "x250", "x300"):
        assert re.search(rf"^{row} +\d", out, re.M)
    assert "left out of the means as misaligned: 10045" in out
    final = float(re.search(r"^\[eval\] psnr_uint8: ([\d.]+)", out, re.M)[1])
    recorded = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["psnr_uint8"]
    assert final == pytest.approx(recorded, abs=1e-3)
    assert {p.name for p in tmp_path.glob("10003_00_100_*")} == {
        f"10003_00_100_{kind}.png" for kind in ("out", "gt", "scale")
    }


def test_predict_and_infer_give_the_same_picture(run, exported, tiny_recipe, sid_tree, tmp_path):
    """From another folder, with nothing but the exported one; the frame has an odd height."""
    file = sid_tree / "Sony/short/10003_00_0.1s.ARW"
    weights = run / "best_model/model.pdparams"
    command(
        *("tools/predict.py", "-c", tiny_recipe, "--weights", weights),
        *("--input", file, "--output", tmp_path / "eager", "--ratio", 100),
    )
    alone = tmp_path / "alone"
    shutil.copytree(exported, alone)
    script = ROOT / "tools/infer.py"
    out = command(
        *(script, "--model_dir", alone, "--input", file, "--output", tmp_path / "graph"),
        *("--target", sid_tree / "Sony/long/10003_00_10s.ARW", "--benchmark", "true", "--batch_size", 2),
        cwd=tmp_path,
    ).stdout
    eager, graph = (cv2.imread(str(tmp_path / d / f"{file.stem}.png")) for d in ("eager", "graph"))
    assert eager.shape == (95, 110, 3)
    assert np.abs(eager.astype(int) - graph).max() <= 1
    assert re.search(r"ratio: 100\.0, psnr_uint8: [\d.]+, ssim_rgb_matlab: [\d.]+", out)
    for line in (
        "runtime_device: cpu",
        "batch_size: 2",
        "enable_mkldnn: True",
        "preprocess_time(ms): ",
        "inference_time(ms): ",
        "cpu_rss(MB): ",
    ):
        assert line in out


def test_infer_never_loads_the_networks_code(exported, sid_tree, tmp_path):
    code = (
        "import sys\n"
        "from paddle_restore.cli.main import main\n"
        "try: main('infer')\n"
        "finally: print(*sorted(m for m in sys.modules if m.startswith('paddle_restore')))"
    )
    file = next((sid_tree / "Sony/short").iterdir())
    out = command("-c", code, "--model_dir", exported, "--input", file, "--output", tmp_path).stdout
    loaded = out.splitlines()[-1].split()
    assert "paddle_restore.models.spec" in loaded
    assert not [m for m in loaded if m.startswith(("paddle_restore.models.sid", "paddle_restore.engine"))]


def test_the_exported_folder_describes_itself(exported):
    package = yaml.safe_load((exported / "inference.yml").read_text())
    program = "model.pdmodel" if package["paddle"].startswith("2.") else "model.json"
    written = {p.name for p in exported.iterdir()} - {"model.pdiparams.info"}  # Paddle 2.6's names of arrays
    assert written == {"inference.yml", program, "model.pdiparams"}
    assert package["spec"]["input"] == "bayer"
    assert len(package["checks"]) == 3
    assert all(check["max_difference"] <= 1e-4 for check in package["checks"])


def test_one_bad_file_in_a_folder_leaves_the_rest(exported, sid_tree, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    files = sorted((sid_tree / "Sony/short").iterdir())[:2]
    for file in files:
        shutil.copy(file, folder)
    (folder / "bad.ARW").write_bytes(b"nothing")
    done = command(
        "tools/infer.py",
        "--model_dir",
        exported,
        "--input",
        folder,
        "--output",
        tmp_path / "out",
        check=False,
    )
    assert done.returncode == 1
    assert (
        len([line for line in done.stderr.splitlines() if line.startswith("error: ") and "bad.ARW" in line])
        == 1
    )
    assert {p.stem for p in (tmp_path / "out").iterdir()} == {file.stem for file in files}
