"""Work by several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

from tests.conftest import ROOT

SCRIPT = """
import os, sys, time
from paddle_restore.data.parallel import each

def work(number):
    print(os.getpid(), flush=True)
    time.sleep(0.3)

for _ in each(range(10_000), work, 2):
    pass
"""


def exists(process: int) -> bool:
    with suppress(OSError):
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_workers_end_when_their_parent_is_killed():
    """Such as those of prepare_sid --workers 2."""
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    workers = {int(parent.stdout.readline()) for _ in range(4)}
    assert len(workers) == 2
    assert all(map(exists, workers))
    parent.kill()
    parent.wait()
    deadline = time.time() + 30
    while time.time() < deadline and any(map(exists, workers)):
        time.sleep(0.1)
    left = [worker for worker in workers if exists(worker)]
    for worker in left:
        os.kill(worker, 9)
    assert not left
