"""How far tiles of a network that pools over the whole picture are from the picture in one piece.

    python benchmarks/global_tiles.py -c configs/mirnet_v2/demo.yml --weights FILE --pictures FILE... \\
        [--window 96] [--clean FILE...]

For each tile size: tiles without blending, blended tiles (as in the restorer), and two ways to fix the pooled
statistics: those of the reduced picture, and the mean over all tiles from a first pass. Numbers are the
largest and the mean difference from the picture in one piece, in 1/255, and the PSNR between the two. With
--window the same for averages over a window of that side, against one piece with such averages. With --clean,
one for each picture, also the PSNR to the clean picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
import paddle
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.cli.common import add_recipe, load_model
from paddle_restore.data.image import read_image, to_float
from paddle_restore.engine.config import load_config
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.tiling import Tiling


@contextmanager
def pooled(model, action):
    """Replace everything that is pooled to one pixel by action(layer, pooled)."""

    def hook(layer, inputs):
        return action(layer, inputs[0]) if list(inputs[0].shape[2:]) == [1, 1] else None

    convolutions = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.Conv2D)]
    handles = [layer.register_forward_pre_hook(hook) for layer in convolutions]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def statistics(model, forward: Forward, source: NetworkInput) -> dict[int, paddle.Tensor]:
    """Run and return the mean of every pooled vector, by layer."""
    seen: dict[int, list] = {}
    with pooled(model, lambda layer, x: seen.setdefault(id(layer), []).append(x.mean(0, keepdim=True))):
        forward.run([source])
    return {key: sum(values) / len(values) for key, values in seen.items()}


def outputs_of(model, tiled: Forward, source: NetworkInput, side: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every way of putting tiles together and its picture."""
    yield "hard cut", replace(tiled, spec=replace(tiled.spec, halo=0)).run([source])[0]
    yield "blended", tiled.run([source])[0]
    picture = to_float(source.values.transpose(1, 2, 0))
    scale = side / max(picture.shape)
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    for name, frame in (("of the small whole", NetworkInput(small, "srgb")), ("mean of the tiles", source)):
        fixed = statistics(model, tiled, frame)
        with pooled(model, lambda layer, x, fixed=fixed: fixed[id(layer)].expand_as(x)):
            yield f"blended, statistics {name}", tiled.run([source])[0]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * np.log10(float(((a - b) ** 2).mean()) + 1e-20)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_recipe(parser)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--clean", type=Path, nargs="+", default=[])
    parser.add_argument("--tiles", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--window", type=int)
    args = parser.parse_args()

    def whole_picture(*override: str) -> Forward:
        model = load_model(load_config(args.config, (*args.override, *override)), args.weights)
        return Forward(EagerNetwork(model), model.spec, tiling=Tiling("none"))

    forward = whole_picture()
    local = whole_picture(f"model.args.window={args.window}") if args.window else None
    rows = []
    for path, clean in zip_longest(args.pictures, args.clean):
        source = NetworkInput(read_image(path).transpose(2, 0, 1), "srgb")
        target = None if clean is None else to_float(read_image(clean)).transpose(2, 0, 1)

        def add(side, name, output, whole, path=path, target=target):
            difference = 255 * np.abs(output - whole)
            row = [path.name, side, name, difference.max(), difference.mean(), psnr(output, whole)]
            rows.append(row if target is None else [*row, psnr(output.clip(0, 1), target)])

        whole = forward.run([source])[0]
        add("none", "one piece", whole, whole)
        for side in args.tiles:
            tiled = replace(forward, tiling=Tiling(side))
            for name, output in outputs_of(forward.network.model, tiled, source, side):
                add(side, name, output, whole)
        if local:
            whole = local.run([source])[0]
            add("none", f"window {args.window}, one piece", whole, whole)
            for side in args.tiles:
                output = replace(local, tiling=Tiling(side)).run([source])[0]
                add(side, f"window {args.window}", output, whole)
    headers = ["picture", "tile", "way", "largest /255", "mean /255", "PSNR to one piece", "PSNR to clean"]
    columns = headers if args.clean else headers[:-1]
    print(tabulate(rows, columns, tablefmt="github", floatfmt=("", "", "", ".2f", ".4f", ".1f", ".2f")))


if __name__ == "__main__":
    main()
