"""Networks small enough for tests, of every registered id."""

from __future__ import annotations

import paddle

from paddle_restore import create_model
from paddle_restore.models import small_arguments


def small_model(id: str, **arguments):
    """Build network `id` in the small size that it registers, with no parameter that is all zeros.

    A factor that begins at zero would hide the layers behind it from every comparison.
    """
    paddle.seed(0)
    model = create_model(id, **{**small_arguments(id), **arguments})
    for parameter in model.parameters():
        if not parameter.any():
            parameter.set_value(0.1 * paddle.randn(parameter.shape))
    return model
