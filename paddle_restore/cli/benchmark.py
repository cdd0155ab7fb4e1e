"""Parameters, operations, peak memory and time of networks, side by side.

Every network runs alone in a process of its own, so that its peak memory is its own: the growth of
the resident set from before the network is built (or loaded) to the end of all trials. Sizes are
those of the sensor (or of the picture), so that a network that reads a packed frame and one that
reads the mosaic are compared on the same photograph. A network by id has random weights, which
changes neither its cost nor its time.

With --compare, every network is run in turns by all backends and precisions that are installed, and by
PyTorch's layers with the same weights where torch is; the outputs are compared too.
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

from paddle_restore.cli.common import add_device, positive
from paddle_restore.devices import thread_count, use_device
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import DEFAULT, PRECISIONS, find_backends

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
    parser.add_argument(
        "--backend", choices=tuple(find_backends()), default=DEFAULT, help="what runs --model_dir"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of --model_dir")
    parser.add_argument(
        "--compare", action="store_true", help="all backends and precisions, and PyTorch, side by side (CPU)"
    )
    parser.add_argument("--trials", type=positive, default=20, help="timed runs; the paper takes 100")
    parser.add_argument("--warmup", type=positive, default=3, help="runs before, not timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # in the child process


def size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    return positive(height), positive(width)


def run(args: argparse.Namespace) -> int:
    models = [id for id in args.model.split(",") if id]
    if args.alone:
        print(json.dumps(_measure(args, models)))
        return 0
    if not models and not args.model_dir:
        raise UserError("nothing to measure: give --model ID[,ID...] or --model_dir DIR")
    _check(models, args.model_dir)
    if args.compare:
        return _compare(args, models)
    rows = []
    for words in [*(["--model", id] for id in models), *(["--model_dir", str(d)] for d in args.model_dir)]:
        rows.append(_measure_apart(words, args))
    _show(args, rows, [_cells(row) for row in rows], HEADERS)
    return 0


def _compare(args: argparse.Namespace, models: list[str]) -> int:
    from paddle_restore.cli import side_by_side

    rows = side_by_side.compare_all(args, models)
    _show(args, rows, [side_by_side.cells(row, rows) for row in rows], side_by_side.HEADERS)
    for row in rows:
        if "failed" in row:
            print(f"{row['network']}, {row['run by']} in {row['precision']}: {row['failed']}")
    return 0


def _show(args: argparse.Namespace, rows: list[dict], cells: list[list[str]], headers: tuple) -> None:
    height, width = args.input_size
    print(f"frame of {height}x{width} sensor pixels, {args.trials} trials after {args.warmup} to warm up\n")
    print(tabulate(cells, headers, tablefmt="github", disable_numparse=True))
    if args.json:
        from paddle_restore.data.files import atomic_path

        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


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
    command += ["--backend", args.backend, "--precision", args.precision]
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
    import paddle

    from paddle_restore.cli.side_by_side import network_inputs
    from paddle_restore.metrics.resources import measure_latency, peak_memory, resident_memory

    before = resident_memory()
    if models:
        row, network, spec, cost = _own_code(models[0])
    else:
        row, network, spec, cost = _exported(args, device)
    inputs = list(network_inputs(spec, args.input_size).values())
    height, width = inputs[0].shape[2:]
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
    from paddle_restore.inference.eager import EagerNetwork
    from paddle_restore.metrics.complexity import measure_cost
    from paddle_restore.models import create_model

    model = create_model(id)
    row = {"network": id, "backend": "own code", "threads": thread_count()}
    # Counted when asked for: it runs the network, and the memory of that is not to be measured.
    return row, EagerNetwork(model), model.spec, lambda: measure_cost(model)


def _exported(args: argparse.Namespace, device: str) -> tuple:
    from paddle_restore.inference.backends import open_network
    from paddle_restore.inference.package import read_package

    folder = args.model_dir[0]
    package = read_package(folder)
    network = open_network(folder, args.backend, device, args.precision)
    row = {"network": package.name, "backend": network.name, "threads": network.threads}
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
