"""Parameters, operations, peak memory and time of networks, side by side.

Every network runs alone in a process of its own, so that its peak memory is its own: the growth of
the resident set from before the network is built (or loaded) to the end of all trials. Sizes are
those of the sensor (or of the picture), so that a network that reads a packed frame and one that
reads the mosaic are compared on the same photograph. A network by id has random weights, which
changes neither its cost nor its time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from paddle_restore.cli.common import add_device, use_device
from paddle_restore.errors import UserError

HEADERS = (
    *("network", "run by", "parameters", "GMac", "GMac (ptflops)", "peak memory MB"),
    *("median ms", "quartiles ms", "least-most ms", "mean ms", "frames/s"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="", metavar="ID[,ID...]", help="networks by id, run by their code")
    parser.add_argument(
        "--model_dir", type=Path, nargs="+", default=[], metavar="DIR", help="exported folders"
    )
    parser.add_argument("--input_size", type=size, default=(1024, 1024), metavar="HxW", help="sensor pixels")
    add_device(parser)
    parser.add_argument("--trials", type=positive, default=20, help="timed runs; the paper takes 100")
    parser.add_argument("--warmup", type=positive, default=3, help="runs before, not timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # in the child process


def size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return positive(height), positive(width)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def run(args: argparse.Namespace) -> int:
    models = [id for id in args.model.split(",") if id]
    if args.alone:
        print(json.dumps(_measure(args, models)))
        return 0
    if not models and not args.model_dir:
        raise UserError("nothing to measure: give --model ID[,ID...] or --model_dir DIR")
    _check(models, args.model_dir)
    rows = []
    for words in [*(["--model", id] for id in models), *(["--model_dir", str(d)] for d in args.model_dir)]:
        rows.append(_measure_apart(words, args))
    height, width = args.input_size
    print(f"frame of {height}x{width} sensor pixels, {args.trials} trials after {args.warmup} to warm up\n")
    print(tabulate([_cells(row) for row in rows], HEADERS, tablefmt="github", disable_numparse=True))
    if args.json:
        from paddle_restore.data.files import atomic_path

        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


def _check(models: list[str], folders: list[Path]) -> None:
    """Find a mistake in any of the names before the first is measured."""
    from paddle_restore.inference.package import read_package
    from paddle_restore.models import model_spec

    for id in models:
        model_spec(id)
    for folder in folders:
        read_package(folder)


def _measure_apart(words: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Measure one network in a fresh process; return what it reports."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", "from paddle_restore.cli.main import main; main('benchmark')", "--alone"]
    command += [*words, "--input_size", "x".join(map(str, args.input_size))]
    command += ["--trials", str(args.trials), "--warmup", str(args.warmup)]
    command += ["--device", args.device] if args.device else []
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    if done.returncode < 0:
        raise UserError(
            f"{words[1]}: its process was ended by signal {-done.returncode}, "
            "most likely for want of memory; try a smaller --input_size"
        )
    if done.returncode:
        raise UserError((done.stderr.strip().splitlines() or ["failed"])[-1].removeprefix("error: "))
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure(args: argparse.Namespace, models: list[str]) -> dict[str, Any]:
    """Measure the one network that is asked for, in this process."""
    device = use_device(args.device)
    import numpy as np
    import paddle

    from paddle_restore.metrics.resources import measure_latency, peak_memory, resident_memory
    from paddle_restore.models.spec import PACK_FACTOR

    before = resident_memory()
    if models:
        row, network, spec, cost = _own_code(models[0])
    else:
        row, network, spec, cost = _exported(args.model_dir[0], device)
    unit = PACK_FACTOR[spec.input] * spec.multiple
    height, width = (-(-side // unit) * spec.multiple for side in args.input_size)
    inputs = [np.random.default_rng(0).random((1, spec.in_channels, height, width), np.float32)]
    if spec.latent:
        sides = (side // spec.latent.stride for side in (height, width))
        inputs.append(np.zeros((1, spec.latent.channels, *sides), np.float32))
    latency = measure_latency(lambda: network(*inputs), args.trials, args.warmup)
    memory = paddle.device.cuda.max_memory_allocated() if device == "gpu" else peak_memory() - before
    cost = cost()
    return {
        **row,
        "device": device,
        "frame": list(args.input_size),
        "input": list(inputs[0].shape),
        "parameters": cost and cost.parameters,
        "macs_direct": cost and cost.macs(height, width),
        "macs_ptflops": cost and cost.macs(height, width, "ptflops"),
        "peak_memory_bytes": memory,
        "latency_ms": asdict(latency),
        "frames_per_second": 1000 / latency.median,
    }


def _own_code(id: str) -> tuple:
    from paddle_restore.inference.backends.eager import EagerNetwork
    from paddle_restore.metrics.complexity import measure_cost
    from paddle_restore.models import create_model

    model = create_model(id)
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    row = {"network": id, "backend": "own code", "threads": threads}
    # Counted when asked for: it runs the network, and the memory of that is not to be measured.
    return row, EagerNetwork(model), model.spec, lambda: measure_cost(model)


def _exported(folder: Path, device: str) -> tuple:
    from paddle_restore.inference.backends.paddle import PaddleNetwork
    from paddle_restore.inference.package import read_package

    package, network = read_package(folder), PaddleNetwork(folder, device)
    row = {"network": package.name, "backend": "Paddle Inference", "threads": network.threads}
    return row, network, package.model_spec, lambda: package.cost


def _cells(row: dict[str, Any]) -> list[str]:
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
