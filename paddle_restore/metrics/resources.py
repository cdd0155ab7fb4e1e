"""Time and memory of a function, measured in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Latency:
    """Milliseconds of `trials` runs: quartiles, extremes and the mean, which the papers report."""

    trials: int
    median: float
    lower_quartile: float
    upper_quartile: float
    min: float
    max: float
    mean: float


def measure_latency(run: Callable[[], Any], trials: int, warmup: int) -> Latency:
    """Time `run` after `warmup` runs that are not counted. `run` must return only when its work is done."""
    for _ in range(warmup):
        run()
    seconds = []
    for _ in range(trials):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    times = 1000 * np.array(seconds)
    smallest, lower, median, upper, largest = np.percentile(times, (0, 25, 50, 75, 100)).tolist()
    return Latency(trials, median, lower, upper, smallest, largest, float(times.mean()))


def resident_memory() -> int:
    """Return the resident bytes of this process, and reset the peak of `peak_memory` (Linux)."""
    with suppress(OSError):  # then the peak is that of the whole process: it can only be too large
        _CLEAR.write_text("5")
    return _status("VmRSS")


def peak_memory() -> int:
    """Return the peak of the resident bytes of this process."""
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        import psutil

        return psutil.Process().memory_info().rss  # there is no record of the peak
