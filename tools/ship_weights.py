"""Put trained weights into the package: for maintainers, after a training.

    python tools/ship_weights.py -c configs/denoise/srgb.yml --weights output/denoise_srgb/weights.safetensors

Writes paddle_restore/shipped/ID: weights.safetensors in float16, and the graphs of the very same numbers,
compared with the network's own code: model.pdmodel, which Paddle 2.6 and Paddle 3 read, and model.onnx.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import _repository
import numpy as np

from paddle_restore.cli.common import preprocess_of
from paddle_restore.devices import use_device
from paddle_restore.engine.config import load_config
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Package
from paddle_restore.models import create_model
from paddle_restore.weights import load_into, read_weights
from paddle_restore.weights.writer import save_safetensors


def main() -> None:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("-c", "--config", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    args = parser.parse_args()
    use_device("cpu")
    config = load_config(args.config)
    state = {name: array.astype(np.float16) for name, array in read_weights(args.weights).items()}
    folder = Path("paddle_restore/shipped") / config.model.id

    def export_to(target: Path, **options: Any) -> Package:
        model = create_model(config.model.id, **config.model.args)
        load_into(model, state, source=args.weights)
        return export(model, target, config.model.id, preprocess_of(config), **options)

    shutil.rmtree(folder, ignore_errors=True)
    onnx = export_to(folder, format="onnx")
    with tempfile.TemporaryDirectory() as work:
        paddle = export_to(Path(work) / "paddle", legacy=True)
        for name in paddle.graph.files:
            shutil.copy(Path(work) / "paddle" / name, folder / name)
    graph = paddle.graph.model_copy(update={"onnx": onnx.graph.onnx})
    package = onnx.model_copy(update={"graph": graph, "checks": (*paddle.checks, *onnx.checks)})
    package.write(folder)
    save_safetensors(folder / "weights.safetensors", state)
    for check in package.checks:
        print(f"{check.graph} {check.input_shape}: largest difference {check.max_difference:.1e}")
    for file in sorted(folder.iterdir()):
        print(f"{file} {file.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
