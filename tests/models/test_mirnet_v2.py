"""MIRNetV2, beyond the alignment with its authors' values."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_restore import create_model
from paddle_restore.models.layers import BilinearUp

from .golden import aligned_model, parameters, tensor


@pytest.mark.parametrize(("id", "count"), [("mirnet_v2", 5_858_560), ("mirnet_v2_small", 3_120_288)])
def test_published_sizes(id, count):
    assert parameters(create_model(id)) == count


@pytest.mark.parametrize("id", ["mirnet_v2", "mirnet_v2_small"])
def test_deployed_has_no_narrow_groups_and_the_same_output(id):
    model = aligned_model(id)
    plain = model.deployed()
    assert all(layer.conv1.weight.shape[1] > 16 for layer in plain.sublayers() if hasattr(layer, "context"))
    x = tensor("x", (2, 3, 16, 24))
    with paddle.no_grad():
        np.testing.assert_allclose(plain(x).numpy(), model(x).numpy(), atol=1e-5)


def test_deployed_of_few_channels_pairs_groups_until_they_are_wide():
    """12 channels a group become 24; 4, 6 and 9 become 16, 24 and 18 (twice, twice and once)."""
    paddle.seed(0)
    model = create_model("mirnet_v2_small", width=24, groups=[2])
    plain = model.deployed()
    widths = {layer.conv1.weight.shape[1] for layer in plain.sublayers() if hasattr(layer, "context")}
    assert widths == {24, 18, 27}
    four = create_model("mirnet_v2_small", width=16, groups=[4])
    widths = {
        layer.conv1.weight.shape[1] for layer in four.deployed().sublayers() if hasattr(layer, "context")
    }
    assert widths == {16, 24, 18}
    x = tensor("x", (1, 3, 16, 24))
    with paddle.no_grad():
        for network in (model, four):
            np.testing.assert_allclose(network.deployed()(x).numpy(), network(x).numpy(), atol=1e-5)


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
