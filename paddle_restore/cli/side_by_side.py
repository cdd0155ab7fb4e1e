"""One network run in every way that is installed here, in turns, so that a drifting machine harms all alike.

Every way runs in a process of its own, which rests (stopped, not spinning on a core) while the others
have their turn. A turn is one run to warm the caches and one that is timed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional
from zipfile import ZipFile

import numpy as np

from paddle_restore.devices import thread_count
from paddle_restore.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TORCH_NETWORKS = ROOT / "benchmarks" / "torch_networks.py"
_MARK = "measured "
_BACKENDS = {
    "paddle": ("paddle", ("fp32", "bf16")),
    "onnx": ("onnxruntime", ("fp32",)),
    "openvino": ("openvino", ("fp32", "bf16")),
}


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    with ZipFile(path) as archive:
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(archive.open(name), allow_pickle=False)
            for name in archive.namelist()
        }


def serve(run: Callable[[], np.ndarray], output: Path) -> None:
    """The worker's side: save one output, then run for every line of standard input and tell the time."""
    save_arrays(output, {"output": run()})
    print(_MARK, flush=True)
    for _ in sys.stdin:
        run()
        start = time.perf_counter()
        run()
        print(f"{_MARK}{1000 * (time.perf_counter() - start)}", flush=True)


def serve_backend() -> None:
    """The worker of one of our backends; its arguments are those that `_ways` gives."""
    folder, work, backend, precision, threads = sys.argv[1:]
    from paddle_restore.inference.backends import open_network

    network = open_network(folder, backend, "cpu", precision, int(threads))
    arrays = list(load_arrays(Path(work) / "input.npz").values())
    serve(lambda: network(*arrays), Path(work) / f"{backend}-{precision}.npz")


class Way:
    """One way to run the network: a worker process, and what it measured."""

    def __init__(self, label: str, precision: str, command: list[str], output: Path, threads: int):
        self.label, self.precision, self.output = label, precision, output
        self.times: list[float] = []
        self.failed: Optional[str] = None
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self._errors = output.with_suffix(".log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)},
        )
        self._answer()

    def turn(self, timed: bool) -> None:
        if self.failed is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
            value = self._answer()
            if timed and value is not None:
                self.times.append(float(value))

    def _answer(self) -> Optional[str]:
        for line in self._process.stdout:
            if line.startswith(_MARK):
                self._process.send_signal(signal.SIGSTOP)
                return line.removeprefix(_MARK)
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or ["its process ended"]
        self.failed = lines[-1].split("UserError: ")[-1]
        return None

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def compare(id: str, folder: Path, work: Path, trials: int, warmup: int) -> list[dict[str, Any]]:
    """Time the network `id` of the exported `folder` in every way; one row each.

    `work` holds `input.npz`, and `weights.npz` where PyTorch shall have the same weights.
    """
    threads = thread_count()
    ways = []
    try:
        ways = [Way(*way, threads) for way in _ways(id, folder, work, str(threads))]
        for turn in range(warmup + trials):
            for way in ways:
                way.turn(timed=turn >= warmup)
    finally:
        for way in ways:
            way.close()
    reference = load_arrays(ways[0].output)["output"] if ways[0].failed is None else None
    return [_row(id, way, reference, threads) for way in ways]


def _ways(id: str, folder: Path, work: Path, threads: str) -> list[tuple]:
    code = "from paddle_restore.cli.side_by_side import serve_backend; serve_backend()"
    ways = []
    for backend, (library, precisions) in _BACKENDS.items():
        if find_spec(library) and (backend == "paddle" or (folder / "model.onnx").is_file()):
            for precision in precisions:
                command = ["-c", code, str(folder), str(work), backend, precision, threads]
                ways.append((backend, precision, command, work / f"{backend}-{precision}.npz"))
    if find_spec("torch") and TORCH_NETWORKS.is_file() and (work / "weights.npz").is_file():
        for precision in ("fp32", "bf16"):
            for layout in ("contiguous", "channels_last"):
                command = [str(TORCH_NETWORKS), id, str(work), precision, layout, threads]
                label = f"pytorch {layout}"
                ways.append((label, precision, command, work / f"pytorch-{precision}-{layout}.npz"))
    return ways


def _row(id: str, way: Way, reference: Optional[np.ndarray], threads: int) -> dict[str, Any]:
    row = {"network": id, "run by": way.label, "precision": way.precision, "threads": threads}
    if way.failed is not None:
        return {**row, "failed": way.failed}
    low, median, high = np.percentile(way.times, (25, 50, 75)).tolist()
    row |= {"median_ms": median, "quartiles_ms": [low, high], "trials": len(way.times)}
    if reference is not None:
        difference = load_arrays(way.output)["output"].astype(np.float64) - reference
        row["max_difference"] = float(np.abs(difference).max())
        row["psnr"] = psnr(difference)
    return row


def psnr(difference: np.ndarray) -> float:
    """PSNR in dB of outputs on a scale from 0 to 1 that differ by `difference`; inf where they are equal."""
    mse = float(np.square(difference).mean())
    return float("inf") if mse == 0 else -10 * float(np.log10(mse))


def cells(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """The row as the table shows it; the last cell compares with PyTorch's best at this precision."""
    start = [row["network"], row["run by"], row["precision"]]
    if "failed" in row:
        return [*start, "cannot", "", "", "", ""]
    same = [r for r in rows if (r["network"], r["precision"]) == (row["network"], row["precision"])]
    best = min((r["median_ms"] for r in same if "pytorch" in r["run by"] and "failed" not in r), default=None)
    return [
        *start,
        f"{row['median_ms']:.1f}",
        "-".join(f"{value:.1f}" for value in row["quartiles_ms"]),
        f"{row['max_difference']:.2g}" if "psnr" in row else "",
        f"{row['psnr']:.1f}" if "psnr" in row else "",
        f"{best / row['median_ms']:.2f}x" if best else "",
    ]


HEADERS = (
    *("network", "run by", "precision", "median ms", "quartiles ms"),
    *("max difference", "PSNR dB", "speed to PyTorch's best"),
)


def compare_all(args: Any, models: list[str]) -> list[dict[str, Any]]:
    """Every network of the command line: exported here by id, or as its folder is."""
    rows = []
    for id in models:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "inference"
            _export(id, folder, Path(work))
            rows += _compare_folder(folder, Path(work), args)
    for folder in args.model_dir:
        with tempfile.TemporaryDirectory() as work:
            rows += _compare_folder(folder, Path(work), args)
    return rows


def _compare_folder(folder: Path, work: Path, args: Any) -> list[dict[str, Any]]:
    from paddle_restore.inference.package import read_package

    package = read_package(folder)
    if package.graph.program is None:
        raise UserError(f"{folder}: has no paddle graph to compare with; export it with --format all")
    save_arrays(work / "input.npz", network_inputs(package.model_spec, args.input_size))
    return compare(package.name, folder, work, args.trials, args.warmup)


def _export(id: str, folder: Path, work: Path) -> None:
    """Network `id` with weights of a fixed seed: both graphs, and the weights for PyTorch."""
    import paddle

    from paddle_restore.inference.export import export
    from paddle_restore.inference.package import Preprocess
    from paddle_restore.models import create_model

    paddle.seed(0)
    model = create_model(id)
    save_arrays(work / "weights.npz", {name: value.numpy() for name, value in model.state_dict().items()})
    export(model, folder, id, Preprocess(), format="all" if find_spec("paddle2onnx") else "paddle")


def network_inputs(spec: Any, frame: tuple[int, int]) -> dict[str, np.ndarray]:
    """Random inputs for a frame of this many sensor pixels, up to the network's multiple."""
    from paddle_restore.models.spec import PACK_FACTOR

    unit = PACK_FACTOR[spec.input] * spec.multiple
    height, width = (-(-side // unit) * spec.multiple for side in frame)
    inputs = {"input": np.random.default_rng(0).random((1, spec.in_channels, height, width), np.float32)}
    if spec.latent:
        sides = (side // spec.latent.stride for side in (height, width))
        inputs["noise"] = np.zeros((1, spec.latent.channels, *sides), np.float32)
    return inputs
