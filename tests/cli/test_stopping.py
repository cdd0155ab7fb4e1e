"""Signals and --dry_run through the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from paddle_restore.engine.signals import STOPPED
from tests.cli.test_chain import command
from tests.conftest import ROOT
from tests.engine.runs import assert_same_run, records

RUN = ("train.iterations=40", "save.keep_at=[39]")


def start(*words):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(path, text, process):
    for _ in range(600):
        if path.is_file() and text in path.read_text():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError(f"{path} never said {text!r}")


@pytest.fixture(scope="module")
def straight(picture_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight") / "run"
    command("tools/train.py", "-c", picture_recipe, "-o", *RUN, "--output_dir", folder)
    return folder


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 2), (signal.SIGUSR1, 0)])
def test_a_signal_saves_and_ends_with_its_own_code(picture_recipe, straight, tmp_path, number, workers):
    words = ("tools/train.py", "-c", picture_recipe, "--output_dir", tmp_path / "run", "-o", *RUN)
    words += (f"train.num_workers={workers}",)
    process = start(*words)
    wait_for(tmp_path / "run/metrics.jsonl", '"iteration": 3', process)
    os.killpg(process.pid, number)  # as a cluster does: the data workers get it too
    output = process.communicate(timeout=60)[0]
    assert process.returncode == STOPPED, output
    assert f"stopped by {number.name} after iteration" in output
    assert 3 <= records(tmp_path / "run")[-1]["iteration"] < 40
    command(*words, "--resume", "auto")
    assert_same_run(straight, tmp_path / "run")


def signalled(picture_recipe, folder, line):
    """Run a training that signals itself where `line`, put before the command, says."""
    head = (
        f"import os, signal, sys; sys.path.insert(0, {str(ROOT)!r}); from paddle_restore.cli.main import main"
    )
    words = ("train", "-c", picture_recipe, "--output_dir", folder, "-o", "train.iterations=3")
    return command("-c", f"{head}\n{line}\nmain()", *words, check=False)


def test_a_signal_while_paddle_is_imported_stops_the_training_too(picture_recipe, tmp_path):
    early = """
class Early:
    def find_spec(self, name, path=None, target=None):
        if name == "paddle":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Early())"""
    done = signalled(picture_recipe, tmp_path / "run", early)
    assert done.returncode == STOPPED, done.stderr
    assert "stopped by SIGTERM after iteration 1 of 3; saved" in done.stderr


def test_a_second_signal_does_not_change_the_exit_code(picture_recipe, tmp_path):
    """One that comes when all is saved and Python, on its way out, has no handlers any more."""
    second = """
from paddle_restore.engine.step import Step
step = Step.__call__
def call(self, *args, **notes):
    os.kill(os.getpid(), signal.SIGTERM)
    return step(self, *args, **notes)
Step.__call__ = call
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGUSR1):
        kill(pid, number)
sys.kept_to_the_end = Last()"""
    done = signalled(picture_recipe, tmp_path / "run", second)
    assert done.returncode == STOPPED, done.stderr


def test_a_signal_to_one_of_two_processes_stops_both(picture_recipe, tmp_path):
    def launch(folder):
        return (
            *("-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", tmp_path / "log"),
            *("tools/train.py", "-c", picture_recipe, "--output_dir", folder, "--resume", "auto"),
            *("-o", *RUN, "train.batch_size=1"),
        )

    process = start(*launch(tmp_path / "run"))
    wait_for(tmp_path / "run/metrics.jsonl", '"iteration": 3', process)
    (second,) = (pid for pid in children(process.pid) if environment(pid)["PADDLE_TRAINER_ID"] == "1")
    os.kill(second, signal.SIGUSR1)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == STOPPED, output
    assert "stopped by SIGUSR1" in (tmp_path / "log/workerlog.1").read_text()
    assert "stopped by another process" in (tmp_path / "log/workerlog.0").read_text()
    command(*launch(tmp_path / "run"))
    command(*launch(tmp_path / "straight"))
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def environment(pid):
    with open(f"/proc/{pid}/environ") as file:
        return dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)


@pytest.mark.parametrize("fate", ["trained", "stopped"])
def test_output_on_a_full_disk_does_not_end_a_training(picture_recipe, tmp_path, fate):
    words = ("tools/train.py", "-c", picture_recipe, "--output_dir", tmp_path / "run", "-o")
    words += (f"train.iterations={3 if fate == 'trained' else 500}", "train.log_every=1")
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], cwd=ROOT, stdout=full, stderr=full, start_new_session=True
        )
        if fate == "stopped":
            wait_for(tmp_path / "run/metrics.jsonl", '"iteration": 3', process)
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == (0 if fate == "trained" else STOPPED)
    assert (tmp_path / "run/latest/state.json").is_file()


@pytest.mark.parametrize("stages", [False, True])
def test_a_dry_run_shows_sizes_and_writes_nothing(tiny_recipe, sid_tree, tmp_path, stages):
    before = sorted(sid_tree.rglob("*"))
    crops = "[{epochs: 1, batch_size: 4, crop: 16}, {epochs: 1, batch_size: 2, crop: 32}]"
    changes = ("train.epochs=null", f"train.stages={crops}") if stages else ()
    words = ("-c", tiny_recipe, "--dry_run", "-o", f"data.cache={tmp_path / 'cache'}", *changes)
    done = command(ROOT / "tools/train.py", *words, cwd=tmp_path)
    assert "train step: input [2, 4, 32, 32], target [2, 3, 64, 64]" in done.stdout
    assert ("input [4, 4, 16, 16]" in done.stdout) == stages
    assert "eval step: 10003_00_0.1s: input [4, " in done.stdout
    assert "psnr_uint8 " in done.stdout
    assert "memory: this process held at most " in done.stdout
    assert "disk: weights " in done.stdout
    assert not list(tmp_path.iterdir())
    assert sorted(sid_tree.rglob("*")) == before
