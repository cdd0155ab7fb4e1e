"""SID U-Net against the authors' values (the PyTorch port)."""

from __future__ import annotations

import paddle.nn.functional as F
import pytest

from paddle_restore import create_model

from .golden import Golden, assert_close, parameters, tensor


@pytest.fixture(scope="module")
def golden():
    return Golden("sid_sony", "sid_unet")


def loss_of(golden):
    x = tensor("sid_sony/input", golden.input_shape)
    target = tensor("sid_sony/gt", golden.arrays["output"].shape)
    return lambda model: F.l1_loss(model(x), target)


def test_output(golden):
    model = golden.model()
    assert parameters(model) == golden.parameters == 7_760_748
    assert_close(model(tensor("sid_sony/input", golden.input_shape)), golden.arrays["output"])


def test_gradients(golden):
    model = golden.model()
    golden.check_gradients(model, loss_of(golden)(model))


def test_adam(golden):
    golden.check_adam(golden.model(), loss_of(golden), golden.adam["losses"])


def test_fuji_has_nine_channels_in_and_three_times_the_size_out():
    model = create_model("sid_unet_xtrans", width=2)
    assert model(tensor("x", (1, 9, 16, 32))).shape == [1, 3, 48, 96]
