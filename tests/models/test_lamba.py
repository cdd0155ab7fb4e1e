"""Lamba, beyond the alignment with its authors' values."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_restore import create_model

from .golden import aligned_model, parameters, tensor


def test_published_size():
    assert parameters(create_model("lamba")) == 784_768


def test_deployed_has_plain_convolutions_and_the_same_output():
    model = aligned_model("lamba")
    plain = model.deployed()
    assert not [name for name, _ in plain.named_parameters() if "weight_" in name]
    x = tensor("lamba/input", (1, 1, 128, 192))
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
