"""One training in a folder at a time; processes that lose their launcher end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from paddle_restore.engine.checkpoint import find_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.run_lock import LOCK, run_lock
from paddle_restore.engine.trainer import Trainer, train
from paddle_restore.errors import UserError
from tests.conftest import ROOT
from tests.engine.runs import records
from tests.engine.test_distributed import launch, start

HOLDER = """
import sys
from pathlib import Path

from paddle_restore.engine.run_lock import run_lock

with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_training_is_refused_in_one_line(tiny_recipe, tmp_path):
    folder = tmp_path / "run"
    first = holder(folder)
    try:
        with pytest.raises(UserError, match=rf"another training runs .*process {first.pid} on .*output_dir"):
            train(load_config(tiny_recipe, ("train.epochs=1", "data.limit=1")), folder)
        assert {path.name for path in folder.iterdir()} == {LOCK}  # nothing else was written
    finally:
        first.communicate("")
    train(load_config(tiny_recipe, ("train.epochs=1", "data.limit=1")), folder)
    assert not (folder / LOCK).exists()


def test_the_lock_dies_with_its_process(tmp_path):
    for number in (signal.SIGKILL, signal.SIGTERM):
        first = holder(tmp_path)
        first.send_signal(number)
        first.wait()
        assert (tmp_path / LOCK).exists()  # a file that is left does not lock
        with run_lock(tmp_path):
            pass
        assert not (tmp_path / LOCK).exists()


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path):
    """The second process opened the file before the first one removed it."""
    first = holder(tmp_path)
    opened = os.open(tmp_path / LOCK, os.O_RDWR)
    first.communicate("")
    assert not (tmp_path / LOCK).exists()
    os.close(opened)
    second = holder(tmp_path)
    with pytest.raises(UserError, match="another training runs"), run_lock(tmp_path):
        pass
    second.communicate("")


def test_a_checkpoint_that_another_training_has_replaced_is_not_continued(tiny_recipe, tmp_path):
    config = load_config(tiny_recipe, ("train.epochs=2", "data.limit=1"))
    train(load_config(tiny_recipe, ("train.epochs=1", "data.limit=1")), tmp_path)
    late = Trainer(config, tmp_path, find_checkpoint(tmp_path))
    train(config, tmp_path, find_checkpoint(tmp_path))
    with pytest.raises(UserError, match="another training has changed it meanwhile"):
        late.run()
    assert [row["iteration"] for row in records(tmp_path) if row["phase"] == "train"] == [1, 2]


def ranks_of(launcher):
    """The launcher's processes that train; it starts others too, which end at once."""
    import psutil

    ranks = []
    for process in psutil.Process(launcher.pid).children():
        with suppress(psutil.Error):
            if any(word.endswith("train.py") for word in process.cmdline()):
                ranks.append(process)
    return ranks


def imports_paddle(process):
    with suppress(OSError):
        return "libpaddle" in Path(f"/proc/{process.pid}/maps").read_text()
    return False


def alive(processes):
    import psutil

    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("victim", [None, 1])
def test_processes_end_when_their_launcher_has_gone(picture_recipe, tmp_path, victim):
    """Killed while training, and together with one process during start-up."""
    words = ("tools/train.py", "-c", picture_recipe, "--output_dir", tmp_path / "run")
    words += ("--device", "cpu", "-o", "train.iterations=100000", "save.every=50000")
    launcher = start(*launch(tmp_path / "log", *words))
    for _ in range(1200):
        ranks = ranks_of(launcher)
        trains = (tmp_path / "run/metrics.jsonl").is_file()
        if trains or (victim is not None and len(ranks) >= 2 and all(map(imports_paddle, ranks))):
            break
        assert launcher.poll() is None
        time.sleep(0.1)
    assert len(ranks) >= 2
    launcher.send_signal(signal.SIGKILL)
    if victim is not None:
        ranks[victim].kill()
    deadline = time.time() + 120
    while time.time() < deadline and alive(ranks):
        time.sleep(0.2)
    left = alive(ranks)
    for process in left:
        process.kill()
    assert not left
    if victim is None:  # and they have saved
        assert find_checkpoint(tmp_path / "run")
