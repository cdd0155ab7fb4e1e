"""MIRNet (v1) against the authors' values."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_restore import create_model
from paddle_restore.models.mirnet import BlurDown

from .golden import Golden, assert_close, parameters, tensor


@pytest.fixture(scope="module")
def golden():
    return Golden("mirnet_small", "mirnet", n_rrg=1, n_msrb=1)


def loss_of(golden):
    x, target = (tensor(f"mirnet/{name}", golden.input_shape) for name in ("input", "gt"))
    return lambda model: ((model(x).clip(0, 1) - target).square() + 1e-6).sqrt().mean()


def test_output(golden):
    model = golden.model()
    assert parameters(model) == golden.parameters == 5_319_216
    assert_close(model(tensor("mirnet/input", golden.input_shape)), golden.arrays["output"])


def test_full_size():
    assert parameters(create_model("mirnet")) == 31_787_419


def test_gradients(golden):
    model = golden.model()
    golden.check_gradients(model, loss_of(golden)(model))


def test_adam(golden):
    golden.check_adam(golden.model(), loss_of(golden), golden.adam["losses"])


def test_deployed_has_leaky_relus_and_the_same_output(golden):
    model = golden.model()
    plain = model.deployed()
    assert not any(isinstance(layer, paddle.nn.PReLU) for layer in plain.sublayers())
    x = tensor("mirnet/input", golden.input_shape)
    np.testing.assert_allclose(plain(x).numpy(), model(x).numpy(), atol=1e-5)


def test_blur_down_is_the_binomial_filter_with_reflected_border():
    x = tensor("x", (2, 3, 6, 10))
    kernel = paddle.to_tensor(np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16)
    padded = F.pad(x, [1, 1, 1, 1], mode="reflect")
    expected = F.conv2d(padded, kernel.expand([3, 1, 3, 3]), stride=2, groups=3)
    np.testing.assert_allclose(BlurDown()(x).numpy(), expected.numpy(), atol=1e-6)
