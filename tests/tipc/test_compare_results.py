"""compare_results.py: what it reads from logs, what it lets pass, and which line it names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from paddle_restore.inference.report import Recorder
from test_tipc import make_configs
from tests.conftest import ROOT

TRAIN = """\
[train] epoch: 1/2, iter: 1/2, lr: 0.001, l1: 0.400000, loss: 0.400000, avg_reader_cost: 0.1 sec, avg_ips: 7.4 images/sec
[train] epoch: 2/2, iter: 2/2, lr: 0.001, l1: 0.300000, loss: {loss}, avg_reader_cost: 0.2 sec, avg_ips: 9.1 images/sec
[eval] epoch: 2, iter: 2, psnr: 25.1234, ssim_rgb_matlab: 0.8000
"""  # noqa: E501
INFER = "image_name: a b/1.png, ratio: 100.0, psnr: {psnr}, ssim_rgb_matlab: 0.7 -> out/1.png\n"


@pytest.fixture
def compare(tmp_path):
    def run(*words, loss="0.300000", psnr="20.0000", sections=True):
        logs = tmp_path / "logs"
        logs.mkdir(exist_ok=True)
        (logs / "run_train.log").write_text(TRAIN.format(loss=loss))
        report = "\n".join(Recorder("net", "cpu", 1).lines()) if sections else ""
        (logs / "run_infer.log").write_text(INFER.format(psnr=psnr) + report)
        script = ROOT / "test_tipc/compare_results.py"
        paths = ["--gt_file", tmp_path / "gt.txt", "--log_file", logs / "*.log"]
        return subprocess.run(
            [sys.executable, script, *map(str, paths), *words], capture_output=True, text=True
        )

    return run


def test_the_recorded_run_passes_and_small_changes_too(compare):
    assert "recorded 5 lines" in compare("--record").stdout
    assert compare().returncode == 0
    # 0.3 +- (1e-3 + 1e-3 * 0.3), 20 +- (1e-3 + 1e-3 * 20)
    assert compare(loss="0.301200", psnr="20.0200").returncode == 0
    assert compare(loss="0.301200", psnr="20.0200", sections=True).stdout.endswith(" 0 differ\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"loss": "0.301400"},
            "run_train | train iter 2: l1: 0.3, loss: 0.3014; recorded: l1: 0.3, loss: 0.3",
        ),
        ({"loss": "nan"}, "run_train | train iter 2: l1: 0.3, loss: nan"),
        ({"psnr": "20.0300"}, "run_infer | picture 1.png: ratio: 100, psnr: 20.03, ssim_rgb_matlab: 0.7;"),
        ({"sections": False}, "run_infer | AutoLog: nothing; recorded: sections: 6"),
    ],
)
def test_a_difference_fails_and_is_named(compare, change, named):
    compare("--record")
    done = compare(**change)
    assert done.returncode == 1
    assert f"differs: {named}" in done.stdout
    assert done.stdout.count("differs: ") == 1


def test_nothing_to_compare_is_an_error(compare, tmp_path):
    done = compare()
    assert done.returncode == 2
    assert "--record writes it" in done.stderr
    assert compare("--log_file", str(tmp_path / "none*.log")).returncode == 2


def test_several_processes_are_compared_with_one(compare, tmp_path):
    logs = tmp_path / "logs"
    log = logs / "norm_train_gpus_-1_autocast_null_train.log"
    several = logs / "norm_train_gpus_-1,-1_autocast_null_train.log"
    compare("--log_file", str(log))  # makes the folder
    log.write_text(TRAIN.format(loss="0.3"))
    assert compare("--record", "--log_file", str(log)).returncode == 0
    nodes = logs / "norm_train_gpus_-1_autocast_null_nodes_2_train.log"
    for path in (several, nodes):
        path.write_text(TRAIN.format(loss="0.3"))
        assert compare("--log_file", str(path)).returncode == 0
        path.write_text(TRAIN.format(loss="0.4"))
        assert compare("--log_file", str(path)).returncode == 1


@pytest.mark.parametrize("model", make_configs.NETWORKS)
def test_the_numbers_of_every_network_of_the_table_are_recorded(model):
    for mode in ("lite_train_lite_infer", "paddle2onnx_infer"):
        assert (ROOT / f"test_tipc/results/{model}_{mode}.txt").is_file()


def test_other_logs_are_named_but_not_compared(compare, tmp_path):
    compare("--record")
    (tmp_path / "logs/gpu_train.log").write_text(TRAIN.format(loss="9.9"))
    done = compare()
    assert done.returncode == 0
    assert "not compared, nothing is recorded of it: gpu_train" in done.stdout
