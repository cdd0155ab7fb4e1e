"""A training that is killed with SIGKILL, again and again, ends as the one that was left alone."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys

import pytest

from paddle_restore.engine.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.state import RunState
from paddle_restore.engine.step import Step
from paddle_restore.models import create_model
from tests.conftest import ROOT
from tests.engine.killable import CHANGES
from tests.engine.runs import assert_same_run, records

KILLS = 30
OVERRIDES = (
    *("train.iterations=60", "train.log_every=2", "train.ema={decay: 0.9}", "train.mixup={from_epoch: 2}"),
    *("save.every=1", "save.keep_every=15", "eval.every=10"),
)


def attempts(recipe, folder, kills):
    words = (recipe, folder, kills, *OVERRIDES)
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.killable", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["status"] for result in results] == [signal.SIGKILL] * kills + [0], done.stderr
    return [result["how"] for result in results]


def test_thirty_kills_change_nothing(picture_recipe, tmp_path):
    how = attempts(picture_recipe, tmp_path / "killed", KILLS)
    assert how.count("while saving") >= KILLS // 3
    attempts(picture_recipe, tmp_path / "straight", 0)
    assert_same_run(tmp_path / "straight", tmp_path / "killed")
    rows = [row["iteration"] for row in records(tmp_path / "killed") if row["phase"] == "train"]
    assert rows == list(range(2, 61, 2))


class Killed(BaseException):
    """Ends a save where a kill would; nothing catches it."""


@pytest.fixture
def kill_before(monkeypatch):
    """Set the number of changes of folders that are done before the process is killed."""
    left = None

    def patched(name):
        real = getattr(os, name)

        def call(*args, **kwargs):
            nonlocal left
            if left is not None:
                if left == 0:
                    raise Killed
                left -= 1
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    for name in CHANGES:
        patched(name)

    def set_left(count):
        nonlocal left
        left = count

    return set_left


def test_killed_at_any_change_of_folders_a_whole_checkpoint_is_found(tiny_recipe, tmp_path, kill_before):
    """Two saves in a row, each killed before each of its changes: always the last whole one is found."""
    step = Step(load_config(tiny_recipe), create_model("sid_unet", width=1), world=1)
    folder = tmp_path / "latest"

    def save(iteration, changes):
        step.model.head.bias.set_value(step.model.head.bias * 0 + iteration)
        kill_before(changes)
        try:
            save_checkpoint(folder, step, RunState(iteration=iteration, best=None))
            return True
        except Killed:
            return False
        finally:
            kill_before(None)

    iteration = kept = 1
    save(iteration, None)
    for changes in itertools.product(range(14), range(14)):
        for count in changes:
            iteration += 1
            finished = save(iteration, count)
            found = load_checkpoint(find_checkpoint(tmp_path), step).iteration
            assert float(step.model.head.bias[0]) == found
            assert found == iteration if finished else found in (kept, iteration)
            kept = found
    assert finished
