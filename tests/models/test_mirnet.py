"""MIRNet (v1), beyond the alignment with its authors' values."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F

from paddle_restore import create_model
from paddle_restore.models.mirnet import BlurDown

from .golden import aligned_model, parameters, tensor


def test_published_size():
    assert parameters(create_model("mirnet")) == 31_787_419


def test_deployed_has_leaky_relus_and_the_same_output():
    model = aligned_model("mirnet")
    plain = model.deployed()
    assert not any(isinstance(layer, paddle.nn.PReLU) for layer in plain.sublayers())
    x = tensor("mirnet/input", (1, 3, 32, 48))
    np.testing.assert_allclose(plain(x).numpy(), model(x).numpy(), atol=1e-5)


def test_blur_down_is_the_binomial_filter_with_reflected_border():
    x = tensor("x", (2, 3, 6, 10))
    kernel = paddle.to_tensor(np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16)
    padded = F.pad(x, [1, 1, 1, 1], mode="reflect")
    expected = F.conv2d(padded, kernel.expand([3, 1, 3, 3]), stride=2, groups=3)
    np.testing.assert_allclose(BlurDown()(x).numpy(), expected.numpy(), atol=1e-6)
