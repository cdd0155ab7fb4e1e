"""A run that is stopped, anywhere and often, ends bit by bit as the one that was not."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.data.datasets.pairs import PairsEval
from paddle_restore.engine.checkpoint import find_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.evaluator import evaluate, means
from paddle_restore.engine.logging import RunLog
from paddle_restore.engine.signals import Stopped, StopRequest
from paddle_restore.engine.trainer import train
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.models import create_model
from paddle_restore.weights import load_weights
from tests.engine.runs import assert_same_run, board, records


class StopAfter(StopRequest):
    """Asked to stop once it has been looked at so often: at an iteration's end or amid an evaluation."""

    def __init__(self, looks: int):
        super().__init__()
        self.looks = looks

    @property
    def requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def stopped_often(config, folder, seed=0) -> int:
    rng = np.random.default_rng(seed)
    for stops in range(40):
        try:
            train(config, folder, find_checkpoint(folder), stop=StopAfter(int(rng.integers(0, 4))))
            return stops
        except Stopped:
            pass
    raise AssertionError("came to no end")


STAGES = "[{epochs: 1, batch_size: 2, crop: 16}, {epochs: 2, batch_size: 2, crop: 32}]"


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.iterations=null", "train.epochs=3", "train.mixup={from_epoch: 2}", "eval.every=1"),
        ("train.ema={decay: 0.9}", "eval.ema=true", "eval.every=3", "train.log_every=3", "save.keep_every=2"),
        (
            *(
                "train.iterations=null",
                f"train.stages={STAGES}",
                "train.accumulate=2",
                "train.mixup={beta: 2}",
            ),
            *("eval.every=0.5", "optimizer.clip_norm=1"),
        ),
        ("train.num_workers=2", "schedule={kind: cosine, by: iteration, warmup: 3}"),
    ],
    ids=["epochs, mix-up", "iterations, EMA", "stages, accumulated", "workers"],
)
def test_stopped_anywhere_and_resumed_is_the_run_that_was_not(picture_recipe, tmp_path, overrides):
    config = load_config(picture_recipe, overrides)
    train(config, tmp_path / "straight")
    assert stopped_often(config, tmp_path / "stopped") >= 2
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_the_averaged_weights_are_a_file_like_any_other(picture_recipe, tmp_path):
    config = load_config(picture_recipe, ("train.ema={decay: 0.9}", "eval.ema=true"))
    train(config, tmp_path)
    model = create_model(config.model.id, **config.model.args)
    averaged, last = (tmp_path / "latest" / name for name in ("model_ema.pdparams", "model.pdparams"))
    scores = []
    for weights in (averaged, last):
        load_weights(model, weights)
        rows = evaluate(EagerNetwork(model), model.spec, PairsEval(config.data, model.spec), ("psnr",))
        scores.append(means(rows, ("psnr",))["psnr"])
    assert scores[0] == pytest.approx(records(tmp_path)[-1]["psnr"], abs=1e-4)
    assert abs(scores[1] - scores[0]) > 1e-3


def test_what_was_recorded_after_the_checkpoint_is_forgotten(tmp_path):
    """Also in the numbered files of former versions, and where a kill cut a record short."""
    from visualdl import LogWriter

    for part, steps in (("1", (1, 2)), ("2", (3, 4))):
        with LogWriter(logdir=str(tmp_path / "vdl"), file_name=f"vdlrecords.{part}.log") as writer:
            for step in steps:
                writer.add_scalar(tag="train/loss", step=step, value=step)
                writer.add_scalar(tag="eval/psnr", step=step, value=step)
    last = tmp_path / "vdl/vdlrecords.2.log"
    last.write_bytes(last.read_bytes()[:-5])
    log = RunLog(tmp_path, 9, 3, {"train": 3, "eval": 2})
    log.scalars("train", 4, {"loss": 40.0})
    log.close()
    assert board(tmp_path) == [
        *[("eval/psnr", step, step) for step in (1, 2)],
        *[("train/loss", step, step) for step in (1, 2, 3)],
        ("train/loss", 4, 40.0),
    ]


def test_records_and_visualdl_hold_the_same(picture_recipe, tmp_path):
    config = load_config(picture_recipe, ("eval.every=2",))
    train(config, tmp_path)
    names = {"phase", "iteration"}
    rows = [(f"{r['phase']}/{k}", r["iteration"], r[k]) for r in records(tmp_path) for k in r.keys() - names]
    shown = board(tmp_path)
    assert len(shown) == len(set(shown)) == len(rows)
    for (tag, step, value), row in zip(shown, sorted(rows)):
        assert (tag, step) == row[:2]
        assert value == np.float32(row[2])
