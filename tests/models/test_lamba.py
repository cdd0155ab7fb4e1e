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


def test_first_kernels_and_biases_are_the_authors():
    """std x sqrt(fan-in) is 1.387 before a leaky ReLU of 0.2 and 1 for linear layers, as in their code."""
    before_activation = {"middle.conv1", "expand"}
    for block, depth in enumerate((4, 5, 5)):
        before_activation |= {f"dense.{block}.layers.{i}" for i in range(depth - 1)}
    paddle.seed(0)
    plain = create_model("lamba").deployed()
    layers = [(n, layer) for n, layer in plain.named_sublayers() if isinstance(layer, nn.Conv2D)]
    assert len(layers) == 27
    assert before_activation < {name for name, _ in layers}
    for name, layer in layers:
        fan_in = np.prod(layer.weight.shape[1:])
        gain = np.sqrt(2 / 1.04) if name in before_activation else 1.0
        assert layer.weight.std().item() * np.sqrt(fan_in) == pytest.approx(gain, rel=0.08), name
        if layer.bias is not None:  # PyTorch's default: uniform within 1/sqrt(fan-in)
            bound = 1 / np.sqrt(fan_in)
            assert layer.bias.abs().max().item() <= bound * (1 + 1e-6), name
            assert layer.bias.std().item() == pytest.approx(bound / np.sqrt(3), rel=0.45), name
    with_bias = {name.split(".")[0] for name, layer in layers if layer.bias is not None}
    assert with_bias == {
        "coarse_in",
        "coarse_squeeze",
        "coarse_out",
        "middle",
        "join",
        "expand",
        "fine",
        "head",
    }
