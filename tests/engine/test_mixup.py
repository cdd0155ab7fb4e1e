"""Mix-up: which samples are blended, how much, and that it follows from the position alone."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_restore.engine import distributed
from paddle_restore.engine.config import MixupOptions
from paddle_restore.engine.step import mixup


def batch(count):
    """Constant pictures, sample i of value i, so that a blend shows its two parts."""
    values = np.arange(count, dtype=np.float32)
    pictures = paddle.to_tensor(values.reshape(-1, 1, 1, 1).repeat(2, 2).repeat(3, 3))
    return {
        "input": pictures,
        "target": pictures * 10,
        "noise": pictures,
        "ratio": paddle.to_tensor(values),
        "name": [str(i) for i in range(count)],
    }


def blended(count, iteration, **options):
    made = mixup(batch(count), MixupOptions(**options), 1, (0, iteration))
    np.testing.assert_allclose(made["target"].numpy(), made["input"].numpy() * 10, rtol=1e-5)
    assert np.ptp(made["input"].numpy(), axis=(1, 2, 3)).max() == 0
    return made["input"].numpy()[:, 0, 0, 0]


def test_inputs_and_targets_blend_alike_and_the_rest_stays():
    made = mixup(batch(4), MixupOptions(), 1, (0, 7))
    assert made["name"] == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(made["ratio"].numpy(), np.arange(4))
    np.testing.assert_array_equal(made["noise"].numpy(), batch(4)["noise"].numpy())
    values = blended(4, 7)
    assert not np.allclose(values, np.arange(4))
    assert values.min() >= 0
    assert values.max() <= 3


def test_the_position_decides():
    np.testing.assert_array_equal(blended(6, 3), blended(6, 3))
    assert not np.array_equal(blended(6, 3), blended(6, 4))


def test_processes_blend_as_one_with_the_joint_batch(monkeypatch):
    whole = batch(6)
    monkeypatch.setattr(distributed, "joint_batch", lambda part, world: pictures)
    for rank in (0, 1, 2):
        part = {key: value[2 * rank : 2 * rank + 2] for key, value in whole.items()}
        for key in ("input", "target"):
            pictures = whole[key]
            made = mixup(part, MixupOptions(), 1, (0, 3), rank, 3)[key].numpy()
            wanted = mixup(whole, MixupOptions(), 1, (0, 3))[key].numpy()
            np.testing.assert_array_equal(made, wanted[2 * rank : 2 * rank + 2])


@pytest.mark.parametrize("beta", [1.2, 5.0])
def test_weights_are_drawn_from_beta(beta):
    """With two samples, 0 and 1, sample 0 becomes 1 - w when its partner is the other one."""
    weights = np.array([1 - value for i in range(600) if (value := blended(2, i, beta=beta)[0]) > 0])
    assert 230 < len(weights) < 370  # half of the permutations of two swap them
    assert weights.mean() == pytest.approx(0.5, abs=0.05)
    assert weights.var() == pytest.approx(1 / (4 * (2 * beta + 1)), rel=0.2)


@pytest.mark.parametrize(("options", "epoch"), [(None, 9), (MixupOptions(from_epoch=6), 5)])
def test_nothing_is_blended_before_its_epoch(options, epoch):
    whole = batch(3)
    assert mixup(whole, options, epoch, (0, 0)) is whole
