"""A network with weights in one call."""

from __future__ import annotations

from os import PathLike
from typing import Any, Union

from paddle import nn

from paddle_restore import models
from paddle_restore.shipped import SHIPPED
from paddle_restore.weights.load import load_weights


def create_model(id: str, pretrained: Union[bool, str, PathLike] = False, **kwargs: Any) -> nn.Layer:
    """Build network `id`; the result carries its `.spec`.

    pretrained  False draws fresh weights, True loads those that come with the package, a path a weights file:
                ours or a published checkpoint
    kwargs      of the network's factory, whose defaults are the published size

    Raises UserError for an unknown id or argument, and for weights that are missing or do not fit.
    """
    model = models.create_model(id, **kwargs)
    if pretrained is not False:
        load_weights(model, SHIPPED if pretrained is True else pretrained)
    return model
