"""Time, size and memory of writing a DNG of 24 megapixels, and of developing it.

    python benchmarks/dng.py

docs/dng.md has a table of the result.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from paddle_restore.data.camera_facts import CameraFacts
from paddle_restore.data.develop import develop_mosaic
from paddle_restore.data.dng import BLACK, WHITE, write_raw
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import read_raw

HEIGHT, WIDTH = 4000, 6000


def frame(noise: float) -> RawImage:
    """A smooth frame with Gaussian noise of this deviation in 16-bit levels."""
    light = np.linspace(0.1, 1, HEIGHT, dtype=np.float32)[:, None] * np.linspace(0, 40000, WIDTH)
    light += np.random.default_rng(0).normal(BLACK, noise, light.shape)
    return RawImage(light.astype(np.uint16), "RGGB", (BLACK,) * 4, WHITE, (2.0, 1.0, 1.5, 1.0))


def timed(what: str, work: Callable[[], object]) -> None:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:32} {wall:6.2f} s, {cpu:6.2f} s of CPU, peak memory so far {peak:5.0f} MB", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dng"
        for noise in (5.0, 40.0, 400.0):
            raw = frame(noise)
            timed(f"write, noise of {noise:g}", lambda raw=raw: write_raw(path, raw, CameraFacts()))
            print(f"{'':32} {path.stat().st_size / 1e6:.1f} MB, {raw.mosaic.nbytes / 1e6:.0f} uncompressed")
        timed("read", lambda: read_raw(path))
        for name in ("srgb", "display_p3"):
            timed(f"develop, {name}", lambda name=name: develop_mosaic(raw, CameraFacts(), 4.0, name))


if __name__ == "__main__":
    main()
