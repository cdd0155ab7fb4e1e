"""Compare ways to store decoded frames, plain or chunked and compressed: bytes, and milliseconds per crop.

    pip install blosc2 zarr && python benchmarks/cache_formats.py

Uses a synthetic pair of 4256x2848 with sensor noise at x100 and a target with the noise of a long exposure. A
crop is a training sample: 1024x1024 pixels of both frames.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import zarr
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from paddle_restore.data.raw import develop, read_raw  # noqa: E402
from paddle_restore.data.synthetic.dng import write_dng  # noqa: E402
from paddle_restore.data.synthetic.noise import load_camera  # noqa: E402

SIDE, CHUNK, CROPS = 1024, 256, 20


def pair(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A short mosaic and a long target."""
    camera = load_camera(ROOT / "configs/cameras/sony_a7s2.yml")
    rng = np.random.default_rng(0)
    light = rng.random((45, 67)).repeat(64, 0).repeat(64, 1)[:2848, :4256]
    levels = {"black_level": camera.black_level, "white_level": camera.white_level}
    write_dng(folder / "short.dng", camera.expose(light, 1600, rng, 100.0), **levels)
    write_dng(folder / "long.dng", camera.expose(light, 200, rng, 1.0), **levels)
    return read_raw(folder / "short.dng").mosaic, develop(folder / "long.dng")


def memory_map(array: np.ndarray, path: Path) -> Callable:
    np.save(path.with_suffix(".npy"), array)
    return lambda: np.lib.format.open_memmap(path.with_suffix(".npy"), "r")


def blosc(codec: blosc2.Codec) -> Callable:
    def write(array: np.ndarray, path: Path) -> Callable:
        chunks = (CHUNK, CHUNK, *array.shape[2:])
        parameters = blosc2.CParams(codec=codec, clevel=5, filters=[blosc2.Filter.BITSHUFFLE], nthreads=1)
        blosc2.asarray(
            array, urlpath=str(path.with_suffix(".b2nd")), mode="w", chunks=chunks, cparams=parameters
        )
        return lambda: blosc2.open(
            str(path.with_suffix(".b2nd")), mode="r", dparams=blosc2.DParams(nthreads=1)
        )

    return write


def zarr_store(array: np.ndarray, path: Path) -> Callable:
    chunks = (CHUNK, CHUNK, *array.shape[2:])
    store = zarr.create_array(path.with_suffix(".zarr"), shape=array.shape, chunks=chunks, dtype=array.dtype)
    store[:] = array
    return lambda: zarr.open_array(path.with_suffix(".zarr"), mode="r")


FORMATS = {
    "memory map": memory_map,
    "blosc2 lz4, bitshuffle": blosc(blosc2.Codec.LZ4),
    "blosc2 zstd, bitshuffle": blosc(blosc2.Codec.ZSTD),
    "zarr (zstd)": zarr_store,
}


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        frames = pair(Path(temporary))
        for name, write in FORMATS.items():
            folder = Path(temporary) / name
            folder.mkdir()
            started = time.perf_counter()
            opens = [write(frame, folder / str(number)) for number, frame in enumerate(frames)]
            written = time.perf_counter() - started
            sizes = [
                sum(f.stat().st_size for f in [p, *p.rglob("*")] if f.is_file()) / 1e6
                for p in sorted(folder.iterdir())
            ]
            rng = np.random.default_rng(0)
            seconds = []
            for _ in range(CROPS):
                top, left = 2 * rng.integers(900), 2 * rng.integers(1600)
                started = time.perf_counter()
                for reopen in opens:
                    np.ascontiguousarray(reopen()[top : top + SIDE, left : left + SIDE])
                seconds.append(time.perf_counter() - started)
            rows.append([name, *sizes, 1000 * written, 1000 * float(np.median(seconds))])
    headers = ["format", "mosaic MB", "target MB", "ms to write a pair", "ms a crop"]
    print(tabulate(rows, headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
