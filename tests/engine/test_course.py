"""Order of samples, stages and learning rates: pure functions of seed and position."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_restore.data.batches import Order, batches
from paddle_restore.engine.config import ScheduleOptions, load_config, scale_to_batch
from paddle_restore.engine.optim import Plan, build_schedule, learning_rate
from paddle_restore.errors import UserError
from paddle_restore.models import Latent
from tests.conftest import GOLDEN


class Samples:
    """Each sample is random numbers and its own index; some may be unreadable."""

    def __init__(self, count, broken=()):
        self.count, self.broken = count, broken

    def __len__(self):
        return self.count

    def sample(self, index, rng):
        if index in self.broken:
            raise UserError(f"sample {index} is broken")
        return {"input": rng.random((1, 2, 2), np.float32), "name": str(index)}


def test_an_epoch_visits_every_sample_once():
    order = Order(samples=7, batch_size=2, seed=3)
    epoch = [index for i in range(order.iterations) for _, index in order.batch(i)]
    assert set(epoch) == set(range(7))
    assert len(epoch) == 8  # the last batch is filled up
    second = [index for i in range(4, 8) for _, index in order.batch(i)]
    assert set(second) == set(range(7))
    assert epoch != second


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_the_joint_batch(world):
    joint = Order(samples=10, batch_size=2 * world, seed=0)
    for iteration in range(9):
        parts = [Order(10, 2, 0, rank, world).batch(iteration) for rank in range(world)]
        assert [key for part in parts for key in part] == joint.batch(iteration)


def test_workers_do_not_change_the_samples():
    order = Order(samples=5, batch_size=2, seed=1)
    alone = list(batches(Samples(5), order, 0, 6))
    helped = list(batches(Samples(5), order, 0, 6, workers=2))
    resumed = list(batches(Samples(5), order, 4, 6))
    assert len(alone) == len(helped) == 6
    for a, b in zip(alone + alone[4:], helped + resumed):
        assert a["name"] == b["name"]
        np.testing.assert_array_equal(a["input"].numpy(), b["input"].numpy())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_sample_stops_with_its_own_line(workers):
    with pytest.raises(UserError, match="sample 2 is broken"):
        list(batches(Samples(3, broken=[2]), Order(3, 1, 0), 0, 3, workers))


def test_stages_follow_one_another(tiny_recipe):
    stages = "[{epochs: 2, batch_size: 4, crop: 16}, {epochs: 3, batch_size: 2, crop: 32}]"
    config = load_config(tiny_recipe, ("train.epochs=null", f"train.stages={stages}"))
    plan = Plan(config, samples=8)
    assert [(s.first, s.last, s.crop) for s in plan.stages] == [(0, 4, 16), (4, 16, 32)]
    assert (plan.iterations, plan.epochs) == (16, 5)
    assert [plan.epoch_at(i) for i in (0, 1, 2, 3, 4, 7, 8, 15)] == [0, 0, 1, 1, 2, 2, 3, 4]
    assert plan.iteration_of(2) == 4
    assert plan.iteration_of(2.5) == 6
    assert plan.due(every=1) == {2, 4, 8, 12, 16}
    # No sample of an earlier stage's epoch repeats its random choices.
    assert {e for i in range(12) for e, _ in plan.stages[1].order.batch(i)} == {2, 3, 4}


def test_iterations_are_first_class(tiny_recipe):
    config = load_config(tiny_recipe, ("train.epochs=null", "train.iterations=10"))
    plan = Plan(config, samples=3)
    assert plan.iterations == 10
    assert plan.due(every=4, at=(1, 7, 99)) == {1, 4, 7, 8, 10}


def test_schedules():
    rates = [learning_rate(ScheduleOptions(kind="step", step=2, gamma=0.5), 8, i, 6) for i in range(6)]
    assert rates == [8, 8, 4, 4, 2, 2]
    options = ScheduleOptions(kind="multistep", milestones=[2, 3], gamma=0.1)
    assert [learning_rate(options, 1, i, 4) for i in range(4)] == pytest.approx([1, 1, 0.1, 0.01])
    options = ScheduleOptions(kind="constant", warmup=4)
    assert [learning_rate(options, 1, i, 6) for i in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    cosine = [learning_rate(ScheduleOptions(kind="cosine", min_lr=0.2), 1, i, 4) for i in range(4)]
    assert cosine == pytest.approx([1, 0.2 + 0.4 * (1 + 2**-0.5), 0.6, 0.2 + 0.4 * (1 - 2**-0.5)])


@pytest.mark.parametrize(("name", "epochs"), [("4gpu_epochs100", 100), ("1gpu_epochs60", 60)])
def test_warm_up_and_cosine_are_the_reproductions(name, epochs):
    golden = json.loads((GOLDEN / "schedules.json").read_text())[f"mirnetv2_reproduction_{name}"]
    options = ScheduleOptions(kind="cosine", warmup=3, min_lr=1e-6)
    ours = [learning_rate(options, 2e-4, epoch, epochs) for epoch in range(epochs)]
    np.testing.assert_allclose(ours, golden, rtol=1e-6)


def test_the_authors_two_cosine_cycles():
    """By values: the first cycle rises from 2e-4 to 3e-4, the second falls from 2e-4 to 1e-6."""
    options = ScheduleOptions(
        kind="cosine_cycles", by="iteration", periods=[92000, 208000], weights=[1, 1], min_lrs=[3e-4, 1e-6]
    )
    expected = {
        0: 2e-4,
        23000: 2.1464466094e-4,  # 2e-4 + 1e-4 * (1 - cos(pi/4)) / 2
        46000: 2.5e-4,
        92000: 3e-4,  # the cycle's end still belongs to it
        92001: 2e-4,
        92000 + 104000: 1.005e-4,
        299999: 1e-6,
        300000: 1e-6,
        400000: 1e-6,
    }
    rates = {i: learning_rate(options, 2e-4, i, 300000) for i in expected}
    assert rates == pytest.approx(expected, rel=1e-8)
    rising = [learning_rate(options, 2e-4, i, 300000) for i in range(0, 92001, 4000)]
    assert rising == sorted(rising)


def test_a_cycles_weight_scales_its_height():
    options = ScheduleOptions(kind="cosine_cycles", periods=[2, 2], weights=[1, 0.5], min_lrs=[0, 0.2])
    rates = [learning_rate(options, 1, i, 4) for i in range(5)]
    assert rates == pytest.approx([1, 0.5, 0, 0.2 + 0.5 * 0.4, 0.2])


def test_the_linear_scaling_rule(tiny_recipe):
    """InvDN's four cards: 8e-4 and 150,000 iterations in place of 2e-4 and 600,000."""
    overrides = (
        "train={iterations: 600000, batch_size: 14, reference_batch: 14}",
        "optimizer.lr=2e-4",
        "schedule={kind: multistep, by: iteration, milestones: [100000, 500000], gamma: 0.5}",
    )
    config = load_config(tiny_recipe, overrides)
    assert scale_to_batch(config, world=1) == (config, "")
    scaled, line = scale_to_batch(config, world=4)
    assert scaled.optimizer.lr == pytest.approx(8e-4)
    assert scaled.train.iterations == 150000
    assert scaled.schedule.milestones == (25000, 125000)
    assert scale_to_batch(scaled, world=4) == (scaled, "")
    assert line == "total batch 56 for 14: lr 0.0002 -> 0.0008, iterations 600000 -> 150000"


@pytest.mark.parametrize(
    ("length", "schedule"),
    [
        ("iterations: 300", "kind: cosine_cycles, periods: [100, 200], min_lrs: [3e-4, 1e-6]"),
        ("iterations: 300", "kind: cosine, min_lr: 1e-5, warmup: 30"),
        ("iterations: 300", "kind: step, step: 90, gamma: 0.5"),
        ("epochs: 100", "kind: multistep, milestones: [90, 180], gamma: 0.5"),
    ],
)
def test_a_scaled_schedule_is_the_same_curve_over_the_samples_seen(tiny_recipe, length, schedule):
    """With three times the batch: a third of the iterations, at each place three times the learning rate."""
    overrides = (
        f"train={{{length}, batch_size: 2, reference_batch: 2}}",
        "optimizer.lr=2e-4",
        f"schedule={{by: iteration, {schedule}}}",
    )
    config = load_config(tiny_recipe, overrides)
    scaled, _ = scale_to_batch(config, world=3)
    plans = [Plan(c, samples=6, world=w) for c, w in ((config, 1), (scaled, 3))]
    assert [plan.iterations for plan in plans] == [300, 100]
    one, three = (
        build_schedule(c.schedule, c.optimizer.lr, plan) for c, plan in zip((config, scaled), plans)
    )
    for iteration in (40, 75, 95):
        assert three(iteration) == pytest.approx(3 * one(3 * iteration), rel=0.05)


def test_the_noise_of_a_latent_comes_with_the_sample():
    latent = Latent(channels=5, stride=2)
    first, again = (next(iter(batches(Samples(3), Order(3, 2, 0), 0, 1, w, latent))) for w in (0, 1))
    assert first["noise"].shape == [2, 5, 1, 1]
    np.testing.assert_array_equal(first["noise"].numpy(), again["noise"].numpy())
    assert len(np.unique(first["noise"].numpy())) == 10
