"""Every test of test_gpu.py carries the mark `gpu` and is skipped where Paddle finds no GPU.

GPU_CHECK_DEVICE=cpu runs them on the CPU: it tries the tests themselves and shows nothing of a GPU. What only
a GPU does (mixed precision, NCCL, TensorRT, its allocator) is left out then.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddle_restore.devices import has_gpu, use_device

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name == "test_gpu.py" and HERE in item.path.parents:
            item.add_marker("gpu")


@pytest.fixture
def device():
    """The device that is checked, which Paddle uses during the test."""
    name = os.environ.get("GPU_CHECK_DEVICE", "gpu")
    if name == "gpu" and not has_gpu():
        pytest.skip("Paddle finds no GPU")
    yield use_device(name)
    use_device("cpu")


@pytest.fixture
def gpu(device):
    """The same, for what a CPU cannot do."""
    if device == "cpu":
        pytest.skip("only a GPU does this")
    return device
