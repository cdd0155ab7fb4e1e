"""MIRNetV2 against the authors' values, in both published sizes."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_restore import create_model
from paddle_restore.models.layers import BilinearUp

from .golden import Golden, assert_close, parameters, tensor


@pytest.fixture(scope="module", params=["mirnetv2_80", "mirnetv2_64"])
def golden(request):
    return Golden(
        request.param, {"mirnetv2_80": "mirnet_v2", "mirnetv2_64": "mirnet_v2_small"}[request.param]
    )


def loss_of(golden):
    x, target = (tensor(f"mirnetv2/{name}", golden.input_shape) for name in ("input", "gt"))
    return lambda model: ((model(x).clip(0, 1) - target).square() + 1e-6).sqrt().mean()


def test_output(golden):
    model = golden.model()
    counts = {"mirnet_v2": 5_858_560, "mirnet_v2_small": 3_120_288}
    assert parameters(model) == golden.parameters == counts[golden.id]
    with paddle.no_grad():
        assert_close(model(tensor("mirnetv2/input", golden.input_shape)), golden.arrays["output"])


def test_gradients(golden):
    model = golden.model()
    golden.check_gradients(model, loss_of(golden)(model))


def test_adam():
    golden = Golden("mirnetv2_64", "mirnet_v2_small")
    golden.check_adam(golden.model(), loss_of(golden), golden.adam["losses"])


def test_deployed_has_no_groups_of_16_and_the_same_output(golden):
    model = golden.model()
    plain = model.deployed()
    assert all(layer.conv1.weight.shape[1] != 16 for layer in plain.sublayers() if hasattr(layer, "conv1"))
    x = tensor("x", (2, 3, 16, 24))
    with paddle.no_grad():
        np.testing.assert_allclose(plain(x).numpy(), model(x).numpy(), atol=1e-5)


def test_bilinear_up_is_interpolation_to_the_border():
    paddle.seed(0)
    up = BilinearUp(3, 4)
    x = tensor("x", (2, 3, 5, 7))
    expected = F.interpolate(up.conv(x), scale_factor=2, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(up(x).numpy(), expected.numpy(), atol=1e-6)


def test_first_weights_are_pytorchs_default():
    paddle.seed(0)
    for name, parameter in create_model("mirnet_v2_small").named_parameters():
        bound = np.prod(parameter.shape[1:]) ** -0.5
        values = parameter.numpy()
        assert np.abs(values).max() <= bound, name
        if values.size > 2000:
            assert values.std() == pytest.approx(bound / 3**0.5, rel=0.05), name
