"""The TIPC scripts fail when, and only when, a command of theirs fails: with a stand-in for Python."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

MODEL = "mirnet_v2"
TRAIN = f"test_tipc/configs/{MODEL}/train_infer_python.txt"
FLEET = f"test_tipc/configs/{MODEL}/train_linux_gpu_fleet_normal_infer_python_linux_gpu_cpu.txt"
ONNX = f"test_tipc/configs/{MODEL}/model_linux_gpu_normal_normal_paddle2onnx_python_linux_cpu.txt"
SERVING = f"test_tipc/configs/{MODEL}/model_linux_gpu_normal_normal_serving_python_linux_gpu_cpu.txt"
LITE = "lite_train_lite_infer"
RUN, RUN_ONNX = "test_train_inference_python.sh", "test_paddle2onnx.sh"


def status_lines(tipc, mode: str = LITE) -> list[str]:
    return (tipc.root / "test_tipc/output" / MODEL / mode / "results_python.log").read_text().splitlines()


def test_a_chain_without_failures_passes_and_says_so(tipc):
    done = tipc(RUN, TRAIN, LITE)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = status_lines(tipc)
    ran = [line for line in lines if line.startswith("Run successfully with command - ")]
    assert len(ran) == 4
    for line, tool in zip(ran, ("train", "eval", "export_model", "infer")):
        assert f" - {MODEL} - " in line
        assert f"/my tools/python tools/{tool}.py " in line
        assert line.endswith(".log")
    assert f"{MODEL} {LITE}: 4 passed, 0 failed, 3 skipped" in done.stdout
    assert len(done.calls) == 4


@pytest.mark.parametrize(
    ("broken", "passed"), [("train.py", 0), ("eval.py", 3), ("export_model.py", 2), ("infer.py", 3)]
)
def test_a_planted_failure_fails_the_script(tipc, broken, passed):
    done = tipc(RUN, TRAIN, LITE, broken=broken)
    assert done.returncode == 1
    lines = status_lines(tipc)
    failed = [line for line in lines if line.startswith(f"Run failed with command - {MODEL} - ")]
    assert len(failed) == 1
    assert f"tools/{broken}" in failed[0]
    assert sum(line.startswith("Run successfully") for line in lines) == passed
    log = tipc.root / failed[0].split(" - ")[-1]
    assert "planted" in log.read_text()


@pytest.mark.parametrize("broken", ["export_model.py", "infer.py"])
@pytest.mark.parametrize(
    ("script", "file", "mode"), [(RUN, TRAIN, "whole_infer"), (RUN_ONNX, ONNX, "paddle2onnx_infer")]
)
def test_a_planted_failure_fails_the_other_modes_too(tipc, script, file, mode, broken):
    assert tipc(script, file, mode).returncode == 0
    assert tipc(script, file, mode, broken=broken).returncode == 1
    assert f"tools/{broken}" in next(line for line in status_lines(tipc, mode) if "Run failed" in line)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("nothing", None),
        ("export_model.py", "tools/export_model.py"),
        ("serving_client.py", "test_tipc/serving_client.py"),
        ("serve", "-m paddle_restore serve"),
        ("end", "-m paddle_restore serve"),
    ],
)
def test_serving_fails_with_the_export_the_server_its_end_and_the_client(tipc, broken, named):
    done = tipc("test_serving_infer_python.sh", SERVING, broken=broken)
    failed = [line for line in status_lines(tipc, "serving_infer") if line.startswith("Run failed")]
    assert done.returncode == (1 if named else 0), done.stdout + done.stderr
    assert [named in line for line in failed] == ([True] if named else [])
    if not named:
        assert f"{MODEL} serving_infer: 3 passed, 0 failed, 1 skipped" in done.stdout


def test_gpu_lines_run_where_there_are_gpus(tipc):
    done = tipc(RUN, TRAIN, LITE, gpus=2)
    assert done.returncode == 0
    # Three trainings, three evaluations and exports, each inferred on CPU and GPU.
    assert f"{MODEL} {LITE}: 15 passed, 0 failed, 0 skipped" in done.stdout
    assert any("-m paddle.distributed.launch" in call and "--devices=0,1" in call for call in done.calls)
    # Each training, and what follows it, sees the GPUs of its own entry of gpu_list.
    seen = {line.split(":")[0]: line for line in done.gpus if "tools/train.py" in line}
    assert list(seen) == ["all", "0", "0,1"]
    assert [line.split(":")[0] for line in done.gpus].count("0,1") == 5
    assert tipc(RUN, TRAIN, LITE, gpus=2, broken="infer.py --device=gpu").returncode == 1


def test_gpu_lines_are_skipped_without_gpu_neither_passed_nor_failed(tipc):
    done = tipc(RUN, TRAIN, LITE)
    skipped = [line for line in status_lines(tipc) if line.startswith("Skipped")]
    assert [line.split(" - ")[0] for line in skipped] == [
        "Skipped for want of a GPU",
        "Skipped for want of 1 GPU(s)",
        "Skipped for want of 2 GPU(s)",
    ]
    assert not any("--device=gpu" in call for call in done.calls)


def test_two_nodes_start_two_processes_and_either_fails_the_script(tipc):
    done = tipc(RUN, FLEET, LITE)
    assert done.returncode == 0, done.stdout + done.stderr
    nodes = [call for call in done.calls if "--nnodes=2" in call]
    assert sorted(call.split("--rank=")[1][0] for call in nodes) == ["0", "1"]
    assert all("--master=127.0.0.1:" in call for call in nodes)
    assert tipc(RUN, FLEET, LITE, broken="train.py").returncode == 1
    for node in (0, 1):
        done = tipc(RUN, FLEET, LITE, broken=f"norm_train_gpus_-1_autocast_null_nodes_2_workers_{node}")
        assert done.returncode == 1
        failed = [line for line in status_lines(tipc, f"{LITE}/{Path(FLEET).stem}") if "Run failed" in line]
        assert [f"--rank={node} " in line for line in failed] == [True]


def test_prepare_and_the_whole_loop_fail_with_what_they_run(tipc, data):
    assert tipc("prepare.sh", TRAIN, LITE, broken="prepare_demo.py").returncode != 0
    assert tipc("prepare.sh", TRAIN, "whole_train_whole_infer").returncode == 2
    given = {"TIPC_DATA": str(data), "TIPC_WEIGHTS": "some.pth"}
    assert tipc("run_all.sh", MODEL, **given).returncode == 0
    for broken in ("convert_weights.py", "infer.py", "compare_results.py"):
        done = tipc("run_all.sh", MODEL, broken=broken, **given)
        assert done.returncode == 1
        assert f"failed: {MODEL} " in done.stdout


def test_a_network_without_recorded_numbers_passes_and_the_script_says_so(tipc, data):
    results = tipc.root / f"test_tipc/results/{MODEL}_{LITE}.txt"
    results.unlink()
    done = tipc("run_all.sh", MODEL, TIPC_DATA=str(data), TIPC_WEIGHTS="some.pth")
    assert done.returncode == 0
    assert f"no numbers are recorded in test_tipc/results/{results.name}, nothing was compared" in done.stdout
    compared = [call for call in done.calls if "compare_results.py" in call]
    assert compared
    assert not [call for call in compared if results.name in call]
    assert tipc("run_all.sh", MODEL, broken="train.py", TIPC_DATA=str(data)).returncode == 1


def test_a_benchmark_without_speed_in_its_log_fails(tipc):
    assert tipc("benchmark_train.sh", TRAIN, "benchmark_train").returncode == 1
    assert tipc("benchmark_train.sh", TRAIN, "benchmark_train", "bs1").returncode == 2


@pytest.mark.parametrize("awk", ["mawk", "gawk", "original-awk"])
def test_the_speed_is_the_mean_without_the_first_two_iterations(tipc, awk):
    if not shutil.which(awk):
        pytest.skip(f"no {awk} here")
    (tipc.root / "my tools/awk").symlink_to(shutil.which(awk))
    output = "\n".join(
        f"[train] iter: {n}, loss: 0.{n}, avg_batch_cost: {cost} sec, avg_samples: 4, avg_ips: 9 images/sec"
        for n, cost in enumerate((9, 9, 0.5, 1.5), 1)
    )
    done = tipc("benchmark_train.sh", TRAIN, "benchmark_train", OUTPUT=output)
    assert done.returncode == 0, done.stdout + done.stderr
    speed = (tipc.root / f"test_tipc/output/{MODEL}/benchmark_train/speed.txt").read_text()
    shown = "dynamic_bs1_fp32_DP_N1C1 on cpu: ips: 4.0000 samples/s, loss: 0.4, over 2 iterations"
    assert speed == f"{MODEL} {shown}\n"


def test_a_file_that_gives_nothing_to_run_is_an_error(tipc):
    lines = (tipc.root / TRAIN).read_text().splitlines()
    idle = ["norm_train:null" if line.startswith("norm_train:") else line for line in lines]
    files = {"empty": [], "short": lines[:40], "idle": idle}
    for name, content in files.items():
        (tipc.root / name).write_text("".join(f"{line}\n" for line in content))
    other = {
        "test_paddle2onnx.sh": (),
        "test_serving_infer_python.sh": (),
        "benchmark_train.sh": ("benchmark_train",),
    }
    calls = [(RUN, name, LITE) for name in (*files, "test_tipc", ONNX)]
    calls += [(script, "short", *mode) for script, mode in other.items()]
    calls += [("prepare.sh", name, LITE) for name in ("empty", "test_tipc")]
    for call in calls:
        done = tipc(*call)
        assert done.returncode == 2, call
        assert done.stderr.startswith("error: "), call
        assert done.stderr.count("\n") == 1, call
        assert done.calls == []


@pytest.mark.parametrize("words", [(), (TRAIN,), (TRAIN, "lite"), ("nowhere.txt", LITE)])
def test_a_wrong_call_is_one_line(tipc, words):
    done = tipc(RUN, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
