"""What one version of Paddle writes for the other to read: `tests/golden/paddle-VERSION/`.

    python -m tests.golden.two_paddles     writes the folder of the Paddle that runs it

`checkpoint/` is a run's after two steps of Adam; `export/`, by Paddle 2.6 only, is the same network
for Paddle Inference.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle

from paddle_restore import create_model
from paddle_restore.engine.checkpoint import save_checkpoint
from paddle_restore.engine.state import RunState
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Preprocess

FOLDER = Path(__file__).parent
VERSIONS = ("2.6.2", "3.3.1")


def build() -> tuple:
    """A very small network, its optimiser as recipes have it, and no loss scaling."""
    paddle.seed(0)
    model = create_model("sid_unet", width=1)
    optimizer = paddle.optimizer.Adam(1e-2, parameters=model.parameters(), use_multi_tensor=True)
    return model, optimizer, paddle.amp.GradScaler(enable=False)


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 4, 32, 32), np.float32)


def step(model, optimizer) -> None:
    (model(paddle.to_tensor(picture())) - 0.5).abs().mean().backward()
    optimizer.step()
    optimizer.clear_grad()


def main() -> None:
    folder = FOLDER / f"paddle-{paddle.__version__}"
    shutil.rmtree(folder, ignore_errors=True)
    model, optimizer, scaler = build()
    for _ in range(2):
        step(model, optimizer)
    run = SimpleNamespace(model=model, optimizer=optimizer, scaler=scaler, ema=None, loaded=None)
    save_checkpoint(folder / "checkpoint", run, RunState(iteration=2, best=None))
    if paddle.__version__.startswith("2."):
        export(model, folder / "export", "sid_unet", Preprocess())


if __name__ == "__main__":
    main()
