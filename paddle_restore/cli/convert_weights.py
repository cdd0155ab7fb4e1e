"""Convert a published checkpoint to our weights, and run the network once to check them.

Reads PyTorch files (the zip and the older format), TensorFlow V2 checkpoints, Paddle's
.pdparams and safetensors, without the frameworks that wrote them and without running
anything in them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="FILE|PREFIX", help="the published checkpoint")
    parser.add_argument("--model", metavar="ID", help="the network; default: recognised from the checkpoint")
    parser.add_argument("--output", type=Path, required=True, help="FILE.pdparams or FILE.safetensors")


def run(args: argparse.Namespace) -> int:
    from paddle_restore.errors import UserError
    from paddle_restore.weights import check_forward, read_weights, recognise, write_weights
    from paddle_restore.weights.writer import check_output

    check_output(args.output)
    reference = read_weights(args.source)
    print(f"read       {args.source}: {_count(reference)}")
    try:
        network, arguments, state = recognise(reference, args.model)
        spec = network.spec
        size = ", ".join(f"{key}={value}" for key, value in arguments.items())
        print(f"recognised {spec.id}{f' with {size}' if size else ''} ({spec.paper}): {_count(state)}")
        image, output = check_forward(network)
    except UserError as error:
        raise UserError(f"{args.source}: {error}") from None
    print(f"licence    {spec.licence} ({spec.repository})")
    print(f"runs       {image.shape} -> {output.shape}, mean {output.mean():.4f}, std {output.std():.4f}")
    write_weights(args.output, network)
    print(f"wrote      {args.output}: {args.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _count(state: Mapping[str, np.ndarray]) -> str:
    return f"{len(state)} arrays, {sum(array.size for array in state.values()):,} numbers"
