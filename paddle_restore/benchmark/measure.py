"""Cost and speed of one network: parameters, operations, peak memory and time.

A network is measured in a process of its own, so that its peak memory is its own: the growth of the resident
set from before the network is built (or loaded) to the end of all trials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from paddle_restore.arithmetic import ceil_div, round_up
from paddle_restore.devices import use_device
from paddle_restore.errors import UserError
from paddle_restore.inference.network import OpenedNetwork
from paddle_restore.metrics.cost import Cost
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec
from paddle_restore.quiet import say_error

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Request:
    """What is measured.

    network     id of a network, run by its own code with random weights, which change neither cost nor time;
                or an exported folder, run by `backend` in `precision`
    input_size  height and width in pixels of the sensor (or picture), so that a network that reads a packed
                frame and one that reads the mosaic are compared on the same photograph
    device      "cpu" or "gpu", by default the GPU where there is one
    trials      timed runs, after `warmup` that are not timed
    """

    network: str
    exported: bool
    input_size: tuple[int, int]
    trials: int
    warmup: int
    backend: str = "paddle"
    precision: str = "fp32"
    device: Optional[str] = None


def measure_apart(request: Request) -> dict[str, Any]:
    """Measure in a fresh process and return its row. Raises UserError for what it reports as such."""
    command = [sys.executable, "-m", "paddle_restore.benchmark.measure", json.dumps(asdict(request))]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment())
    if done.returncode < 0:
        raise UserError(
            f"{request.network}: its process was ended by signal {-done.returncode}, "
            "most likely for want of memory; try a smaller --input_size"
        )
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["failed"])[-1].removeprefix("error: "))
    return json.loads(done.stdout.strip().splitlines()[-1])


def child_environment() -> dict[str, str]:
    """Return an environment in which a child process imports this copy of the package."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


def measure(request: Request) -> dict[str, Any]:
    """Measure in this process: a row of the table, with bytes and milliseconds."""
    device = use_device(request.device)
    import paddle

    from paddle_restore.metrics.resources import measure_latency, peak_memory, resident_memory

    before = resident_memory()
    name, network, spec, count_cost = (_open_folder if request.exported else _build)(request, device)
    inputs = list(network_inputs(spec, request.input_size).values())
    height, width = inputs[0].shape[2:]
    latency = measure_latency(lambda: network(*inputs), request.trials, request.warmup)
    memory = paddle.device.cuda.max_memory_allocated() if device == "gpu" else peak_memory() - before
    cost = count_cost()
    return {
        "network": name,
        "backend": network.name,
        "threads": network.threads,
        "device": device,
        "frame": list(request.input_size),
        "input": list(inputs[0].shape),
        "parameters": cost and cost.parameters,
        "macs_direct": cost and cost.macs(height, width),
        "macs_ptflops": cost and cost.macs(height, width, "ptflops"),
        "peak_memory_bytes": memory,
        "latency_ms": asdict(latency),
        "frames_per_second": 1000 / latency.median,
    }


Opened = tuple[str, OpenedNetwork, ModelSpec, Callable[[], Optional[Cost]]]
"""Name, network, spec, and what counts its operations. Counting runs the network, so it comes last."""


def _build(request: Request, device: str) -> Opened:
    from paddle_restore.inference.eager import EagerNetwork
    from paddle_restore.metrics.complexity import measure_cost
    from paddle_restore.models import create_model

    model = create_model(request.network)
    return request.network, EagerNetwork(model), model.spec, lambda: measure_cost(model)


def _open_folder(request: Request, device: str) -> Opened:
    from paddle_restore.inference.backends import open_network
    from paddle_restore.inference.package import read_package

    package = read_package(request.network)
    network = open_network(request.network, request.backend, device, request.precision)
    return package.name, network, package.model_spec, lambda: package.cost


def network_inputs(spec: ModelSpec, frame: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return random inputs for a frame of (height, width) sensor pixels, rounded up to the multiple."""
    height, width = (round_up(ceil_div(side, PACK_FACTOR[spec.input]), spec.multiple) for side in frame)
    inputs = {"input": np.random.default_rng(0).random((1, spec.in_channels, height, width), np.float32)}
    if spec.latent:
        inputs["noise"] = np.zeros((1, *spec.latent.shape(height, width)), np.float32)
    return inputs


HEADERS = (
    *("network", "run by", "parameters", "GMac", "GMac (ptflops)", "peak memory MB"),
    *("median ms", "quartiles ms", "least-most ms", "mean ms", "frames/s"),
)


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row as the table shows it."""
    latency = row["latency_ms"]
    counted = row["parameters"] is not None
    return [
        row["network"],
        f"{row['backend']}, {row['device']}"
        + (f", {row['threads']} threads" if row["device"] == "cpu" else ""),
        f"{row['parameters']:,}" if counted else "not recorded",
        f"{row['macs_direct'] / 1e9:.2f}" if counted else "not recorded",
        f"{row['macs_ptflops'] / 1e9:.2f}" if counted else "not recorded",
        f"{row['peak_memory_bytes'] / 1e6:.0f}",
        f"{latency['median']:.1f}",
        f"{latency['lower_quartile']:.1f}-{latency['upper_quartile']:.1f}",
        f"{latency['least']:.1f}-{latency['most']:.1f}",
        f"{latency['mean']:.1f}",
        f"{row['frames_per_second']:.2f}",
    ]


def main() -> int:
    """Print the row of the request that the command line gives as JSON."""
    values = json.loads(sys.argv[1])
    try:
        row = measure(Request(**{**values, "input_size": tuple(values["input_size"])}))
    except UserError as error:
        say_error(error)
        return 2
    print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
