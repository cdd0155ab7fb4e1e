"""A process that dies ends the job within a minute, on all machines, with its own error."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests.conftest import ROOT
from tests.engine.test_distributed import end_of, launch, nodes, start

DYING = f"""
import multiprocessing, os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from paddle_restore.cli.main import main
from paddle_restore.data.datasets.pairs import PairsTrain
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
