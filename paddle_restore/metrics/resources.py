"""Time and memory of a function, measured in this process."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

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


def physical_gpu(number: int) -> int:
    """Return nvidia-smi's number of this process's GPU `number`: CUDA_VISIBLE_DEVICES renumbers."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    listed = visible[number].strip() if number < len(visible) else ""
    return int(listed) if listed.isdecimal() else number


def gpu_usage(number: int) -> Optional[tuple[float, float]]:
    """Return (memory in use in MiB, utilisation in %) of this process's GPU `number`, by nvidia-smi.

    Both are of all processes on the GPU. None where nvidia-smi is missing or does not say.
    """
    query = "--query-gpu=memory.used,utilization.gpu", "--format=csv,noheader,nounits"
    try:
        done = subprocess.run(
            ["nvidia-smi", "-i", str(physical_gpu(number)), *query],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        memory, utilisation = map(float, done.stdout.split(","))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return memory, utilisation


def _status(key: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))
    except (OSError, StopIteration):
        import psutil

        return psutil.Process().memory_info().rss  # there is no record of the peak
