"""A run that is stopped, anywhere and often, ends bit by bit as the one that was not."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.engine.checkpoint import find_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.signals import Stopped, StopRequest
from paddle_restore.engine.trainer import train
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
