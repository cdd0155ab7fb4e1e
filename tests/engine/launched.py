"""Run by test_distributed.py, as one process or as a job: what must not depend on the number of processes.

    [python -m paddle.distributed.launch ...] launched.py FOLDER CASE ...

A case is the id of a network to train for ten steps, `evaluate`, or `resume:FROM:TO`, which goes on
with the run in FOLDER/FROM to iteration TO. All processes together have a batch of four.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import paddle

from paddle_restore.data.datasets import DATASETS, DatasetKind, DatasetOptions
from paddle_restore.engine import distributed
from paddle_restore.engine.config import load_config
from paddle_restore.engine.evaluator import evaluate
from paddle_restore.engine.trainer import train
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.models import create_model
from paddle_restore.models.spec import PACK_FACTOR

BATCH = 4
COUNTS = (1, 2, 3, 5)
NETWORKS = {
    "sid_unet": {"width": 4},
    "sid_unet_xtrans": {"width": 4},
    "lamba": {},
    # Not every width: where Adam divides a gradient of the size of its rounding, more than 1e-6 is left,
    # as with train.accumulate in one process.
    "mirnet": {"width": 16, "n_rrg": 1, "n_msrb": 1},
    "mirnet_v2": {"width": 8, "groups": [1]},
    "mirnet_v2_small": {"width": 8, "groups": [2]},
    "invdn": {"width": 8, "blocks": 1},
}


class RandomOptions(DatasetOptions):
    """Pictures from a generator, for any network."""

    kind: Literal["random"] = "random"
    crop: int = 32
    count: int = 3


class RandomPictures:
    """A smooth picture and the same with noise; `sample` serves training and evaluation."""

    note = ""

    def __init__(self, options, spec, crop=None):
        self.size, self.spec, self.count = crop or options.crop, spec, options.count

    def __len__(self):
        return self.count

    def sample(self, index, rng=None):
        rng = rng or np.random.default_rng(index)
        size, spec = self.size, self.spec
        pieces = np.ones((1, 8, 8))
        clean = np.kron(rng.random((spec.in_channels, size // 8, size // 8)), pieces)
        noisy = clean + rng.normal(0, 0.1, clean.shape)
        target = np.kron(rng.random((3, size // 8, size // 8)), np.ones((1, 8 * spec.scale, 8 * spec.scale)))
        pictures = {"input": noisy, "target": target}
        if PACK_FACTOR[spec.input] == 1:
            pictures["baseline"] = noisy[:1].repeat(3, 0)
        else:
            pictures["baseline"] = target * 0.5
        if spec.latent:
            pictures["lq"] = target[:, ::4, ::4]
        return {"name": str(index), **{key: value.astype(np.float32) for key, value in pictures.items()}}


class TrainPictures(RandomPictures):
    def __len__(self):
        return 6


DATASETS.add("random", DatasetKind(RandomOptions, TrainPictures, RandomPictures))


def recipe(network: str, world: int, **changes) -> dict:
    invertible = network == "invdn"
    return {
        "name": network,
        "model": {"id": network, "args": NETWORKS[network]},
        "data": {"kind": "random"},
        "objective": {"kind": "invertible" if invertible else "supervised"},
        "optimizer": {"lr": 2e-4},
        "train": {"iterations": 10, "batch_size": BATCH // world, "log_every": 2, "mixup": {}, **changes},
        "eval": {"metrics": ["psnr"]},
        "save": {"keep_every": 4, "keep_last": 1},
    }


def evaluate_counts(folder: Path, rank: int, world: int) -> None:
    paddle.seed(1)
    model = create_model("sid_unet", width=4)
    found = {}
    for count in COUNTS:
        pictures = RandomPictures(RandomOptions(count=count), model.spec)
        found[count] = evaluate(EagerNetwork(model), model.spec, pictures, ("psnr",), rank, world)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"rows_{rank}.json").write_text(json.dumps(found))


def main() -> None:
    folder = Path(sys.argv[1])
    rank, world = distributed.init()
    for case in sys.argv[2:]:
        if case == "evaluate":
            evaluate_counts(folder, rank, world)
            continue
        network, run, resume, changes = case, folder / case, None, {}
        if case.startswith("resume:"):
            _, source, iterations = case.split(":")
            network, run, resume = "sid_unet", folder / "resumed", folder / source / "latest"
            changes = {"iterations": int(iterations)}
        path = folder / f"recipe_{rank}.yml"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(recipe(network, world, **changes)))
        train(load_config(path), run, resume)
        path.unlink()


if __name__ == "__main__":
    main()
