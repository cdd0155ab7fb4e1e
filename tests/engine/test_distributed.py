"""Two processes do what one does with the joint batch; one that dies ends the job, with its own error."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
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


# ---- dead processes

DYING = f"""
import multiprocessing, os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from paddle_restore.cli.main import main
from paddle_restore.data.pairs import PairsTrain
from paddle_restore.engine.step import Step
from paddle_restore.errors import UserError

how, dying = sys.argv.pop(1), sys.argv.pop(1)
step, sample = Step.__call__, PairsTrain.sample

def bad_step(self, batch, lr, update, **notes):
    if update == 3 and how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if update == 3 and how == "bug":
        raise ZeroDivisionError("a bug in one process")
    if update == 3 and how == "mistake":
        raise UserError("a mistake that one process found")
    return step(self, batch, lr, update, **notes)

def bad_sample(self, index, rng):
    if multiprocessing.parent_process() and how == "worker":
        raise KeyError("a bug in a data worker")
    return sample(self, index, rng)

if os.environ["PADDLE_TRAINER_ID"] == dying:
    Step.__call__, PairsTrain.sample = bad_step, bad_sample
main("train")
"""


def dying(picture_recipe, tmp_path, how, rank=1):
    (tmp_path / "dying.py").write_text(DYING)
    words = (tmp_path / "dying.py", how, rank, "-c", picture_recipe, "--output_dir", tmp_path / "run")
    return (*words, "-o", "train.iterations=400", f"train.num_workers={int(how == 'worker')}")


@pytest.mark.parametrize(
    ("how", "rank", "code", "shown"),
    [
        ("bug", 2, 1, r"in bad_step\n(?s:.*)ZeroDivisionError: a bug in one process"),
        ("bug", 0, 1, r"in bad_step\n(?s:.*)ZeroDivisionError: a bug in one process"),
        ("mistake", 1, 2, r"error: a mistake that one process found"),
        ("worker", 1, 1, r"in bad_sample\n(?s:.*)KeyError: 'a bug in a data worker'"),
        ("SIGKILL", 1, 1, r"Container rank 1 status failed .*code -9"),
    ],
)
def test_a_process_that_dies_ends_the_job_with_its_own_error(
    picture_recipe, tmp_path, how, rank, code, shown
):
    begun = time.monotonic()
    words = dying(picture_recipe, tmp_path, how, rank)
    process = start(*launch(tmp_path / "log", *words, processes=max(2, rank + 1)))
    output = end_of(process, timeout=60)
    assert time.monotonic() - begun < 60
    assert process.returncode == code, output
    assert re.search(shown, output), output
    for log in (tmp_path / "log").glob("workerlog.*"):
        assert "gloo/transport" not in log.read_text()  # what the others run into


def test_a_process_killed_on_another_machine_ends_the_job(picture_recipe, tmp_path):
    both = nodes(tmp_path, *dying(picture_recipe, tmp_path, "SIGKILL"))
    output = end_of(both[0], timeout=60)
    assert both[0].returncode == 1, output
    assert re.search(r"process 1 of this job has failed \(its log: .*n1/workerlog.0 on \S+\)", output)
    assert "it was killed, or its machine has gone" in output
    end_of(both[1], timeout=60)
    assert both[1].returncode == 256 - signal.SIGKILL


def test_the_error_of_another_machine_is_shown_on_both(picture_recipe, tmp_path):
    both = nodes(tmp_path, *dying(picture_recipe, tmp_path, "bug"))
    for process in both:
        output = end_of(process, timeout=60)
        assert process.returncode == 1, output
        assert "ZeroDivisionError: a bug in one process" in output
        assert "gloo/transport" not in output
