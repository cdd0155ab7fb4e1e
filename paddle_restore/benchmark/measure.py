"""Cost and speed of one network: parameters, operations, peak memory and time.

Each network is measured in a process of its own, so that its peak memory is its own: the growth of the
resident set from before the network is built (or loaded) to the end of all trials.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import numpy as np

from paddle_restore import devices
from paddle_restore.arithmetic import ceil_div, round_up
from paddle_restore.devices import gpu_number, is_gpu, use_device
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import DEFAULT, OpenedNetwork, open_network
from paddle_restore.inference.package import read_package
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec
from paddle_restore.quiet import say_error

ROOT = Path(__file__).resolve().parents[2]

HEADERS = (
    *("network", "run by", "parameters", "GMac", "GMac (ptflops)", "peak memory MB"),
    *("median ms", "quartiles ms", "min-max ms", "mean ms", "frames/s"),
)


def measure_apart(**options: Any) -> dict[str, Any]:
    """Call `measure` in a fresh process. Raises UserError for what it reports as such."""
    command = [sys.executable, "-m", "paddle_restore.benchmark.measure", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment())
    if done.returncode < 0:
        raise UserError(
            f"{options['network']}: its process was ended by signal {-done.returncode}, "
            "most likely because memory ran out; try a smaller --input_size"
        )
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["failed"])[-1].removeprefix("error: "))
    return json.loads(done.stdout.strip().splitlines()[-1])


def child_environment() -> dict[str, str]:
    """Return the environment in which a child process imports this copy of the package."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**devices.child_environment(), "PYTHONPATH": path}


def measure(
    network: str,
    exported: bool,
    input_size: tuple[int, int],
    trials: int,
    warmup: int,
    backend: str = DEFAULT,
    precision: str = "fp32",
    device: Optional[str] = None,
) -> dict[str, Any]:
    """Measure in this process; return a row with bytes and milliseconds.

    `network` is the id of a network, run by its own code with random weights, or an exported folder, run by
    `backend` in `precision`. `input_size` is (height, width) of the sensor or picture. `trials` runs are
    timed, after `warmup` that are not.
    """
    device = use_device(device)
    import paddle

    from paddle_restore.inference.eager import EagerNetwork
    from paddle_restore.metrics.complexity import measure_cost
    from paddle_restore.metrics.resources import measure_latency, peak_memory, resident_memory
    from paddle_restore.models import create_model

    before = resident_memory()
    if exported:
        package = read_package(network)
        name, spec, model = package.name, package.model_spec, None
        opened: OpenedNetwork = open_network(network, backend, device, precision)
    else:
        model = create_model(network)
        name, spec, opened = network, model.spec, EagerNetwork(model)
    inputs = list(network_inputs(spec, input_size).values())
    height, width = inputs[0].shape[2:]
    latency = measure_latency(lambda: opened(*inputs), trials, warmup)
    if is_gpu(device):
        memory = paddle.device.cuda.max_memory_allocated(gpu_number(device))
    else:
        memory = peak_memory() - before
    # Counting runs the network, so it comes after the memory is measured.
    cost = package.cost if exported else measure_cost(model)
    return {
        "network": name,
        "backend": opened.name,
        "threads": opened.threads,
        "device": device,
        "frame": list(input_size),
        "input": list(inputs[0].shape),
        "parameters": cost and cost.parameters,
        "macs_direct": cost and cost.macs(height, width),
        "macs_ptflops": cost and cost.macs(height, width, "ptflops"),
        "peak_memory_bytes": memory,
        "latency_ms": asdict(latency),
        "frames_per_second": 1000 / latency.median,
    }


def network_inputs(spec: ModelSpec, frame: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return random inputs for a frame of (height, width) sensor pixels, rounded up to the multiple."""
    height, width = (round_up(ceil_div(side, PACK_FACTOR[spec.input]), spec.multiple) for side in frame)
    inputs = {"input": np.random.default_rng(0).random((1, spec.in_channels, height, width), np.float32)}
    if spec.latent:
        inputs["noise"] = np.zeros((1, *spec.latent.shape(height, width)), np.float32)
    return inputs


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row as the table shows it."""
    ms, counts = row["latency_ms"], ["not recorded"] * 3
    if row["parameters"] is not None:
        macs = (f"{row[key] / 1e9:.2f}" for key in ("macs_direct", "macs_ptflops"))
        counts = [f"{row['parameters']:,}", *macs]
    threads = f", {row['threads']} threads" if row["device"] == "cpu" else ""
    return [
        row["network"],
        f"{row['backend']}, {row['device']}{threads}",
        *counts,
        f"{row['peak_memory_bytes'] / 1e6:.0f}",
        f"{ms['median']:.1f}",
        f"{ms['lower_quartile']:.1f}-{ms['upper_quartile']:.1f}",
        f"{ms['min']:.1f}-{ms['max']:.1f}",
        f"{ms['mean']:.1f}",
        f"{row['frames_per_second']:.2f}",
    ]


if __name__ == "__main__":
    try:
        print(json.dumps(measure(**json.loads(sys.argv[1]))))
    except UserError as error:
        say_error(error)
        sys.exit(2)
