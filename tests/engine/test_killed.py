"""A training that is killed with SIGKILL, again and again, ends as the one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from tests.conftest import ROOT
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
