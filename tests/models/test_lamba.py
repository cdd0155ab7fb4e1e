"""Lamba against the authors' values."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_restore import create_model

from .golden import Golden, assert_close, parameters, tensor


@pytest.fixture(scope="module")
def golden():
    return Golden("lamba", "lamba")


def loss_of(golden):
    x = tensor("lamba/input", golden.input_shape)
    target = tensor("lamba/gt", golden.arrays["output"].shape)
    return lambda model: F.l1_loss(model(x), target)


def test_output(golden):
    model = golden.model()
    assert parameters(model) == golden.parameters == 784_768
    assert_close(model(tensor("lamba/input", golden.input_shape)), golden.arrays["output"])


def test_gradients(golden):
    model = golden.model()
    golden.check_gradients(model, loss_of(golden)(model))


def test_adam(golden):
    golden.check_adam(golden.model(), loss_of(golden), golden.adam["losses"])


def test_deployed_has_plain_convolutions_and_the_same_output(golden):
    model = golden.model()
    plain = model.deployed()
    assert not [name for name, _ in plain.named_parameters() if "weight_" in name]
    x = tensor("lamba/input", golden.input_shape)
    np.testing.assert_allclose(plain(x).numpy(), model(x).numpy(), atol=1e-6)
    # A copy: training goes on with weight normalisation and what it learns stays out of it.
    before = plain.head.bias.numpy()
    model.head.bias.set_value(model.head.bias + 1)
    np.testing.assert_array_equal(plain.head.bias.numpy(), before)
    assert any("weight_g" in name for name, _ in model.named_parameters())


def test_first_kernels_are_kaimings():
    paddle.seed(0)
    plain = create_model("lamba").deployed()
    for name, layer in plain.named_sublayers():
        if isinstance(layer, nn.Conv2D):
            fan_in = np.prod(layer.weight.shape[1:])
            assert layer.weight.std().item() == pytest.approx(np.sqrt(2 / 1.04 / fan_in), rel=0.08), name
            assert layer.bias is None or not layer.bias.any()
