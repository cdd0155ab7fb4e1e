"""Two processes do what one does with the joint batch; another number of them goes on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paddle_restore.engine.config import load_config
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from tests.conftest import ROOT
from tests.engine.runs import arrays, records

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SCRIPT = Path(__file__).parent / "launched.py"
NETWORKS = ("sid_unet", "sid_unet_xtrans", "lamba", "mirnet", "mirnet_v2", "mirnet_v2_small", "invdn")


def start(*words):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env=ONE_THREAD,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end_of(process, timeout=240):
    try:
        return process.communicate(timeout=timeout)[0]
    finally:
        process.kill()


def launch(logs, *words, processes=2):
    return ("-m", "paddle.distributed.launch", "--nproc_per_node", processes, "--log_dir", logs, *words)


def succeeds(*words):
    process = start(*words)
    output = end_of(process)
    assert process.returncode == 0, output
    return output


def assert_same_weights(one, two, atol=1e-6):
    one, two = arrays(one / "latest"), arrays(two / "latest")
    assert one.keys() == two.keys()
    for name, value in one.items():
        if name.startswith("model/"):
            np.testing.assert_allclose(two[name], value, rtol=0, atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All cases, by one process and by two."""
    folder = tmp_path_factory.mktemp("runs")
    succeeds(SCRIPT, folder / "one", *NETWORKS, "evaluate")
    succeeds(*launch(folder / "log", SCRIPT, folder / "two", *NETWORKS, "evaluate"))
    return folder


@pytest.mark.parametrize("network", NETWORKS)
def test_two_processes_give_the_weights_of_one(runs, network):
    """Ten steps of Adam with mix-up over the joint batch."""
    assert_same_weights(runs / "one" / network, runs / "two" / network)


def test_only_rank_0_writes(runs):
    one, two = (
        sorted(str(path.relative_to(runs / name)) for path in (runs / name).rglob("*"))
        for name in ("one", "two")
    )
    assert two == sorted([*one, "rows_1.json"])  # what the script itself writes from each process
    for name in NETWORKS:
        phases = [[(r["phase"], r["iteration"]) for r in records(runs / n / name)] for n in ("one", "two")]
        assert phases[0] == phases[1]


def test_evaluation_gives_the_same_numbers_whatever_the_count(runs):
    one = json.loads((runs / "one/rows_0.json").read_text())
    for rank in (0, 1):
        assert json.loads((runs / f"two/rows_{rank}.json").read_text()) == one
    assert {int(count): len(rows) for count, rows in one.items()} == {1: 1, 2: 2, 3: 3, 5: 5}


# ---- another number of processes


def resumed(begun, folder, processes=1):
    """Go on from iteration 10 of `begun` to 14; return what the log says."""
    shutil.copytree(begun / "sid_unet", folder / "sid_unet")
    words = (SCRIPT, folder, "resume:sid_unet:14")
    succeeds(*(launch(folder / "log", *words) if processes == 2 else words))
    return (folder / "resumed/train.log").read_text()


@pytest.fixture(scope="module")
def straight(runs):
    assert "processes: " not in resumed(runs / "one", runs / "straight")
    return runs / "straight/resumed"


@pytest.mark.parametrize(("before", "now"), [("one", "two"), ("two", "one")])
def test_resuming_with_another_number_of_processes(runs, straight, tmp_path, before, now):
    counts = {"one": 1, "two": 2}
    log = resumed(runs / before, tmp_path, counts[now])
    assert_same_weights(straight, tmp_path / "resumed")
    assert (
        f"processes: {counts[before]} -> {counts[now]}, {4 // counts[now]} samples each, "
        "joint batch: 4 -> 4: nothing else changes"
    ) in log


def test_resuming_with_another_joint_batch_says_where_it_goes_on(tiny_recipe, tmp_path, capsys):
    """A checkpoint of two processes, resumed by one that has the same batch by itself: half of the batch."""
    train(load_config(tiny_recipe, ("train.epochs=1",)), tmp_path)
    file = tmp_path / "latest/state.json"
    state = json.loads(file.read_text())
    file.write_text(json.dumps({**state, "processes": 2, "joint_batch": 4}))
    train(load_config(tiny_recipe, ("train.epochs=2",)), tmp_path, tmp_path / "latest")
    text = capsys.readouterr().out
    assert (
        "processes: 2 -> 1, 2 samples each, joint batch: 4 -> 2: iteration 2 was in epoch 1, is now" in text
    )
    state = json.loads(file.read_text())
    assert (state["processes"], state["joint_batch"]) == (1, 2)
    file.write_text(json.dumps({**state, "processes": 2, "joint_batch": 1}))
    with pytest.raises(UserError, match=r"processes: 2 -> 1, .*set train.batch_size so that the joint batch"):
        train(load_config(tiny_recipe, ("train.epochs=1",)), tmp_path, tmp_path / "latest")


# ---- two machines


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nodes(folder, *words):
    """Start a job of two machines with a process each, both of them this one."""
    master = f"127.0.0.1:{free_port()}"
    return [
        start(
            *("-m", "paddle.distributed.launch", "--nnodes", 2, "--rank", rank, "--nproc_per_node", 1),
            *("--master", master, "--log_dir", folder / f"n{rank}", *words),
        )
        for rank in (0, 1)
    ]


def test_two_machines_give_the_weights_of_one(runs, tmp_path):
    for process in (both := nodes(tmp_path, SCRIPT, tmp_path / "two", "sid_unet", "invdn")):
        output = end_of(process)
        assert process.returncode == 0, output
    assert len(both) == 2
    for network in ("sid_unet", "invdn"):
        assert_same_weights(runs / "one" / network, tmp_path / "two" / network)
