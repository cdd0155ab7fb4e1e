"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden values and real files beside the repository."""
    beside = Path(__file__).resolve().parents[1].parent / "shared"
    path = Path(os.environ.get("PADDLE_RESTORE_SHARED", beside))
    if not path.is_dir():
        pytest.skip(f"golden values are not there: {path}")
    return path
