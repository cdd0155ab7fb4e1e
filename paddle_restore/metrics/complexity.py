"""Counting a network's operations, by the two conventions of `metrics.cost`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from paddle_restore.metrics.cost import Cost

_ACTIVATIONS = ("relu", "leaky_relu", "prelu", "sigmoid", "gelu")
_POOLING = ("max_pool2d", "avg_pool2d")


def measure_cost(model: Any) -> Cost:
    """Count what `model` (with `.spec`) costs as it is deployed; its parameters are those of training."""
    spec = model.spec
    plain = model.deployed() if hasattr(model, "deployed") else model
    side = spec.multiple * math.ceil(16 / spec.multiple)
    one, two = (_count(plain, spec.in_channels, side, width) for width in (side, 2 * side))
    parameters = sum(parameter.size for parameter in model.parameters() if not parameter.stop_gradient)
    each = [b - a for a, b in zip(one, two)]
    fixed = [a - e for a, e in zip(one, each)]
    return Cost(parameters, side, fixed[0], each[0], fixed[1], each[1])


def _count(model: Any, channels: int, height: int, width: int) -> tuple[int, int]:
    """(direct, ptflops) of one forward."""
    counts = {"direct": 0, "ptflops": 0}

    def add(direct: int, ptflops: int) -> None:
        counts["direct"] += direct
        counts["ptflops"] += ptflops

    training = model.training
    model.eval()
    with paddle.no_grad(), _counting(model, add):
        model(paddle.zeros([1, channels, height, width]))
    if training:
        model.train()
    return counts["direct"], counts["ptflops"]


@contextmanager
def _counting(model: Any, add: Any) -> Iterator[None]:
    """Report every counted operation of `model` to `add(direct, ptflops)`.

    nn.Conv2D is the only layer that does not go through a public function of
    paddle.nn.functional, which the networks also call themselves.
    """

    def conv(output: Any, x: Any, weight: Any, bias: Any) -> None:
        macs = _size(output) // weight.shape[0] * weight.size
        add(macs, macs + (_size(output) if bias is not None else 0))

    def transposed(output: Any, x: Any, weight: Any, bias: Any) -> None:
        pixels = _size(output) // output.shape[1]
        bias_macs = _size(output) if bias is not None else 0
        add(_size(x) // x.shape[1] * weight.size, pixels * weight.size + bias_macs)

    def linear(output: Any, x: Any, weight: Any, bias: Any) -> None:
        macs = _size(x) // x.shape[-1] * weight.size
        add(macs, macs + (_size(output) if bias is not None else 0))

    def wrap(name: str, report: Any) -> Any:
        function = getattr(F, name)

        def counted(x, *args, **kwargs):
            output = function(x, *args, **kwargs)
            report(output, x, *_weight_and_bias(args, kwargs))
            return output

        return function, counted

    reports = {"conv2d": conv, "conv2d_transpose": transposed, "linear": linear}
    reports |= {name: lambda output, x, *_: add(0, _size(output)) for name in _ACTIVATIONS}
    reports |= {name: lambda output, x, *_: add(0, _size(x)) for name in _POOLING}
    handles = [
        layer.register_forward_post_hook(
            lambda owner, x, output: conv(output, x[0], owner.weight, owner.bias)
        )
        for layer in model.sublayers(include_self=True)
        if isinstance(layer, nn.Conv2D)
    ]
    originals = {}
    try:
        for name, report in reports.items():
            originals[name], counted = wrap(name, report)
            setattr(F, name, counted)
        yield
    finally:
        for name, function in originals.items():
            setattr(F, name, function)
        for handle in handles:
            handle.remove()


def _weight_and_bias(args: tuple, kwargs: dict) -> tuple[Any, Any]:
    given = [*args, None, None]
    weight = kwargs["weight"] if "weight" in kwargs else given.pop(0)
    return weight, kwargs.get("bias", given[0])


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape))
