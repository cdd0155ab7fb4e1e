"""One rule for threads: what is asked for, else OMP_NUM_THREADS, else all cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import json, sys
import paddle_restore
restorer = paddle_restore.Restorer(*json.loads(sys.argv[1]), threads=json.loads(sys.argv[2]))
import numpy as np, paddle
given = []
paddle.base.core.set_num_threads = given.append
shape = (1, restorer.spec.in_channels, 32, 32)
restorer.forward.network(np.zeros(shape, np.float32))
print(json.dumps([restorer.forward.network.threads, given]))
"""


@pytest.mark.parametrize(
    ("variable", "asked", "threads"), [(None, None, "cores"), ("1", None, 1), ("1", 3, 3)]
)
def test_a_network_by_its_id(tmp_path, variable, asked, threads):
    import paddle

    from paddle_restore import create_model

    paddle.save(create_model("lamba").state_dict(), str(tmp_path / "w.pdparams"))
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment.update({"PYTHONPATH": str(ROOT), **({"OMP_NUM_THREADS": variable} if variable else {})})
    words = [PROGRAM, json.dumps(["lamba", str(tmp_path / "w.pdparams")]), json.dumps(asked)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", *words],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    wanted = len(os.sched_getaffinity(0)) if threads == "cores" else threads
    assert json.loads(done.stdout) == [wanted, [wanted]]


def test_a_child_process_gets_the_users_variable_and_not_paddles(monkeypatch):
    from paddle_restore import devices

    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Paddle's import sets it
    monkeypatch.setattr(devices, "_OMP_NUM_THREADS", None)
    assert "OMP_NUM_THREADS" not in devices.child_environment()
    monkeypatch.setattr(devices, "_OMP_NUM_THREADS", "1")
    assert devices.child_environment()["OMP_NUM_THREADS"] == "1"
