"""One step: parts of a batch, clipping, the moving average, and numbers that are not finite."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_restore.engine.config import EmaOptions, load_config
from paddle_restore.engine.optim import Ema
from paddle_restore.engine.step import Step
from paddle_restore.models import create_model
from paddle_restore.weights import load_into, tensors_of


@pytest.fixture
def make(tiny_recipe):
    """A step of a tiny SID U-Net with the recipe changed; always the same weights."""

    def step(*overrides):
        paddle.seed(0)
        return Step(load_config(tiny_recipe, overrides), create_model("sid_unet", width=4), world=1)

    return step


def batch(count=4):
    rng = np.random.default_rng(0)
    shapes = {"input": (count, 4, 32, 32), "target": (count, 3, 64, 64)}
    pictures = {key: paddle.to_tensor(rng.random(shape, np.float32)) for key, shape in shapes.items()}
    return {**pictures, "name": [str(i) for i in range(count)]}


def weights(step):
    return {name: tensor.numpy().copy() for name, tensor in tensors_of(step.model).items()}


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_make_the_step_of_the_whole(make, parts):
    whole = make("train.batch_size=4")
    cut = make("train.batch_size=4", f"train.accumulate={parts}")
    for update in range(1, 6):
        losses = [step(batch(), 1e-3, update).losses["loss"] for step in (whole, cut)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for name, value in weights(whole).items():
        np.testing.assert_allclose(weights(cut)[name], value, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("clip_norm", lambda grads, limit: limit / np.sqrt(sum((g**2).sum() for g in grads.values()))),
        ("clip_value", None),
    ],
)
def test_clipping(make, clip, expected):
    """With plain SGD at learning rate 1 the weights change by the clipped gradient itself."""
    limit = 0.01
    free, clipped = make("optimizer.kind=sgd"), make("optimizer.kind=sgd", f"optimizer.{clip}={limit}")
    start = weights(free)
    for step in (free, clipped):
        step(batch(), 1.0, 1)
    grads = {name: start[name] - value for name, value in weights(free).items()}
    assert max(np.abs(g).max() for g in grads.values()) > limit
    for name, value in weights(clipped).items():
        wanted = grads[name] * expected(grads, limit) if expected else grads[name].clip(-limit, limit)
        np.testing.assert_allclose(start[name] - value, wanted, rtol=0, atol=1e-6, err_msg=name)


def test_the_average_follows_its_formula(make):
    step = make("train.ema={decay: 0.5}")
    expected = weights(step)
    for update in range(1, 9):
        step(batch(), 1e-2, update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = {n: decay * expected[n] + (1 - decay) * w for n, w in weights(step).items()}
    for name, value in expected.items():
        np.testing.assert_allclose(step.ema.average[name].numpy(), value, rtol=0, atol=1e-6)
    own = weights(step)
    with step.ema.applied():
        applied = weights(step)
    for name, value in weights(step).items():
        np.testing.assert_array_equal(value, own[name])
        np.testing.assert_array_equal(applied[name], step.ema.average[name].numpy())
    assert any(np.abs(applied[name] - own[name]).max() > 1e-4 for name in own)


def test_the_decay_warms_up():
    ema = Ema(paddle.nn.Linear(1, 1), EmaOptions(decay=0.9))
    assert [ema.decay(n) for n in (1, 2, 80, 1000)] == pytest.approx([2 / 11, 3 / 12, 81 / 90, 0.9])


def test_a_loss_or_gradient_that_is_not_finite_changes_nothing(make):
    step = make("train.ema={decay: 0.5}")
    step(batch(), 1e-3, 1)
    before, average = weights(step), {n: t.numpy().copy() for n, t in step.ema.average.items()}
    dark = batch()
    dark["input"][1, 2, 3, 4] = float("nan")
    assert not step(dark, 1e-3, 2).finite
    step.model.head.bias.register_hook(lambda gradient: gradient * float("inf"))
    result = step(batch(), 1e-3, 3)
    assert np.isfinite(result.losses["loss"])
    assert not result.finite
    for name, value in weights(step).items():
        np.testing.assert_array_equal(value, before[name])
        np.testing.assert_array_equal(step.ema.average[name].numpy(), average[name])
    assert all(p.grad is None or not p.grad.numpy().any() for p in step.model.parameters())


def test_weights_load_into_a_network_whose_state_dict_is_a_copy():
    """As that of mixed precision O2 is, which is there on a GPU only."""
    model, other = create_model("sid_unet", width=4), create_model("sid_unet", width=4)

    def as_copies(state):
        for name in state:
            state[name] = state[name].clone()

    model.register_state_dict_hook(as_copies)
    load_into(model, {name: tensor.numpy() for name, tensor in other.state_dict().items()})
    picture = batch()["input"]
    np.testing.assert_array_equal(model(picture).numpy(), other(picture).numpy())
