"""Time a network on every backend and precision that is installed, and in PyTorch, in turns.

Turns are fair on a machine whose speed drifts. Each runner is a process of its own, stopped while the others
have their turn. A turn is one run to warm the caches and one that is timed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, Optional

import numpy as np

from paddle_restore.benchmark.measure import ROOT, child_environment, network_inputs
from paddle_restore.devices import thread_count
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import DEFAULT, find_backends, open_network
from paddle_restore.inference.package import Preprocess, read_package
from paddle_restore.metrics import psnr

TORCH_NETWORKS = ROOT / "benchmarks" / "torch_networks.py"
_MARK = "measured "
_PRECISIONS = ("fp32", "bf16")  # of a CPU


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def serve_turns(run: Callable[[], np.ndarray], output: Path) -> None:
    """Save one output. Then, for every line of standard input, run twice and print the second time in ms."""
    np.savez(output, output=run())
    print(_MARK, flush=True)
    for _ in sys.stdin:
        run()
        start = perf_counter()
        run()
        print(f"{_MARK}{1000 * (perf_counter() - start)}", flush=True)


def serve_backend() -> None:
    """Serve turns of one of our backends; its arguments are those that `_runners` gives."""
    folder, work, backend, precision, threads = sys.argv[1:]
    network = open_network(folder, backend, "cpu", precision, int(threads))
    arrays = list(load_arrays(Path(work) / "input.npz").values())
    serve_turns(lambda: network(*arrays), Path(work) / f"{backend}-{precision}.npz")


class Runner:
    """One way to run the network: its process, the times in ms, and why it failed, if it did."""

    def __init__(self, label: str, precision: str, command: list[str], output: Path):
        self.label, self.precision, self.output = label, precision, output
        self.times: list[float] = []
        self.failed: Optional[str] = None
        self._errors = output.with_suffix(".log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**child_environment(), "OMP_NUM_THREADS": str(thread_count())},
        )
        self._answer()

    def turn(self, timed: bool) -> None:
        if self.failed is None:
            assert self._process.stdin
            self._process.send_signal(signal.SIGCONT)
            self._process.stdin.write("run\n")
            self._process.stdin.flush()
            answer = self._answer()
            if timed and answer is not None:
                self.times.append(float(answer))

    def _answer(self) -> Optional[str]:
        assert self._process.stdout
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

    def row(self, network: str, reference: Optional[np.ndarray]) -> dict[str, Any]:
        """Return what was measured, and how far the output is from the reference."""
        row: dict[str, Any] = {"network": network, "run by": self.label, "precision": self.precision}
        row["threads"] = thread_count()
        if self.failed is not None:
            return {**row, "failed": self.failed}
        low, median, high = np.percentile(self.times, (25, 50, 75)).tolist()
        row |= {"median_ms": median, "quartiles_ms": [low, high], "trials": len(self.times)}
        if reference is not None:
            output = load_arrays(self.output)["output"]
            row["max_difference"] = float(np.abs(output.astype(np.float64) - reference).max())
            row["psnr"] = psnr(output[0].transpose(1, 2, 0), reference[0].transpose(1, 2, 0))
        return row


def compare(
    network: str, exported: bool, input_size: tuple[int, int], trials: int, warmup: int
) -> list[dict[str, Any]]:
    """Time an exported folder, or a network by its id with random weights; return a row for each runner."""
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        folder = Path(network) if exported else _export(network, work)
        package = read_package(folder)
        if package.graph.program is None:
            raise UserError(f"{folder}: has no paddle graph to compare with; export it with --format all")
        inputs: dict[str, Any] = network_inputs(package.model_spec, input_size)
        np.savez(work / "input.npz", **inputs)
        runners: list[Runner] = []
        try:
            runners += (Runner(*each) for each in _runners(package.name, folder, work))
            for turn in range(warmup + trials):
                for runner in runners:
                    runner.turn(timed=turn >= warmup)
        finally:
            for runner in runners:
                runner.close()
        reference = load_arrays(runners[0].output)["output"] if runners[0].failed is None else None
        return [runner.row(package.name, reference) for runner in runners]


def _export(id: str, work: Path) -> Path:
    """Export a network with weights of a fixed seed, which PyTorch gets as `weights.npz`."""
    import paddle

    from paddle_restore.inference.export import export
    from paddle_restore.models import create_model

    paddle.seed(0)
    model = create_model(id)
    arrays: dict[str, Any] = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez(work / "weights.npz", **arrays)
    folder = work / "inference"
    export(model, folder, id, Preprocess(), format="all" if find_spec("paddle2onnx") else "paddle")
    return folder


def _runners(id: str, folder: Path, work: Path) -> Iterator[tuple[str, str, list[str], Path]]:
    """Yield label, precision, command and output of every runner."""
    threads = str(thread_count())
    code = "from paddle_restore.benchmark.side_by_side import serve_backend; serve_backend()"
    # All backends but Paddle run the ONNX graph. TensorRT runs on a GPU only, and this compares on a CPU.
    backends = [name for name in find_backends() if name != "tensorrt"]
    backends = [name for name in backends if name == DEFAULT or (folder / "model.onnx").is_file()]
    for backend, precision in product(backends, _PRECISIONS):
        command = ["-c", code, str(folder), str(work), backend, precision, threads]
        yield backend, precision, command, work / f"{backend}-{precision}.npz"
    if find_spec("torch") and TORCH_NETWORKS.is_file() and (work / "weights.npz").is_file():
        for precision, layout in product(_PRECISIONS, ("contiguous", "channels_last")):
            command = [str(TORCH_NETWORKS), id, str(work), precision, layout, threads]
            yield f"pytorch {layout}", precision, command, work / f"pytorch-{precision}-{layout}.npz"


HEADERS = (
    *("network", "run by", "precision", "median ms", "quartiles ms"),
    *("max difference", "PSNR dB", "speed to PyTorch's best"),
)


def cells(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Return a row as the table shows it. The last cell compares with PyTorch's best at this precision."""
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
