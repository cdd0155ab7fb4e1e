"""Five steps of a recipe by Paddle and by PyTorch, on the same samples from the same weights.

    python benchmarks/torch_steps.py -c configs/denoise/srgb.yml [-o key=value ...]

Both compute in float32. Prints the losses, and exits with 1 where they differ by more than 1e-3.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import paddle
import torch
import torch_networks
import torch_train
from tabulate import tabulate

from paddle_restore.data.batches import Order, batches
from paddle_restore.data.datasets import DATASETS
from paddle_restore.engine.config import load_config
from paddle_restore.engine.optim import learning_rate
from paddle_restore.engine.step import Step
from paddle_restore.models import create_model

STEPS, THRESHOLD = 5, 1e-3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-c", "--config", required=True)
    parser.add_argument("-o", "--override", action="append", default=[])
    arguments = parser.parse_args()
    config = load_config(arguments.config, tuple(arguments.override))

    paddle.seed(config.seed)
    model = create_model(config.model.id, **config.model.args)
    network = torch_networks.NETWORKS[config.model.id](**config.model.args)
    weights = {name: torch.from_numpy(value.numpy()) for name, value in model.state_dict().items()}
    network.load_state_dict(weights)
    step, trainer = Step(config, model, 1), torch_train.Trainer(config, network, bf16=False)

    dataset = DATASETS[config.data.kind].train(config.data, model.spec)
    order = Order(len(dataset), config.train.batch_size, config.seed)
    rows = []
    for iteration, batch in enumerate(batches(dataset, order, 0, STEPS)):
        lr = learning_rate(config.schedule, config.optimizer.lr, iteration, config.train.iterations)
        ours = step(batch, lr, iteration + 1).losses["loss"]
        theirs = trainer.step(batch)
        rows.append([iteration + 1, ours, theirs, abs(ours - theirs)])
    print(tabulate(rows, ["step", "Paddle", "PyTorch", "difference"], floatfmt=("d", ".6f", ".6f", ".1e")))
    differences = [
        float(np.abs(value.numpy() - trainer.average[name].numpy()).max())
        for name, value in (step.ema.average if step.ema else {}).items()
    ]
    if differences:
        print(f"largest difference of the averaged weights: {max(differences):.1e}")
    return int(max(row[3] for row in rows) > THRESHOLD)


if __name__ == "__main__":
    sys.exit(main())
