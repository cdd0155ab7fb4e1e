"""What tools/gpu_check.sh does where there is no GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paddle_restore.devices import has_gpu
from tests.conftest import ROOT


def test_without_a_gpu_it_says_so_and_exits_with_2():
    if has_gpu():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        ["bash", ROOT / "tools/gpu_check.sh"],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "GPU_CHECK_DEVICE": "gpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert (
        done.stderr.strip().splitlines()[-1].startswith("error: device gpu: this PaddlePaddle finds no GPU")
    )
    assert not done.stdout
