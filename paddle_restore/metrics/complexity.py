"""Count the operations of a network by the two conventions of `metrics.cost`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np

from paddle_restore.arithmetic import round_up
from paddle_restore.metrics.cost import Cost

# Paddle is imported where it is needed: commands that only measure pictures import this folder, too.

Counts = tuple[int, int]  # direct, ptflops


def measure_cost(model: Any) -> Cost:
    """Count the operations of `model` (with `.spec`) as deployed, and its trained parameters."""
    spec = model.spec
    deployed = model.deployed() if hasattr(model, "deployed") else model
    side = round_up(16, spec.multiple)
    one, two = (_count(deployed, spec.in_channels, side, width) for width in (side, 2 * side))
    parameters = sum(parameter.size for parameter in model.parameters() if not parameter.stop_gradient)
    each = [b - a for a, b in zip(one, two)]
    fixed = [a - e for a, e in zip(one, each)]
    return Cost(parameters, side, fixed[0], each[0], fixed[1], each[1])


def _count(model: Any, channels: int, height: int, width: int) -> Counts:
    """Count the operations of one forward."""
    import paddle

    training = model.training
    model.eval()
    with paddle.no_grad(), _counting(model) as counts:
        model(paddle.zeros([1, channels, height, width]))
    if training:
        model.train()
    direct, ptflops = np.sum(counts, axis=0)
    return int(direct), int(ptflops)


@contextmanager
def _counting(model: Any) -> Iterator[list[Counts]]:
    """Collect the counts of every operation that `model` runs.

    nn.Conv2D is the only layer that does not go through a public function of
    paddle.nn.functional, which the networks also call themselves.
    """
    import paddle.nn.functional as F
    from paddle import nn

    counts: list[Counts] = [(0, 0)]

    def count_layer(layer: Any, inputs: tuple[Any, ...], output: Any) -> None:
        counts.append(_conv(output, inputs[0], layer.weight, layer.bias))

    def count_call(call: Callable[..., Any], rule: Callable[..., Counts], x: Any, *args: Any, **kwargs: Any):
        output = call(x, *args, **kwargs)
        counts.append(rule(output, x, *_weight_and_bias(args, kwargs)))
        return output

    with ExitStack() as stack:
        for layer in model.sublayers(include_self=True):
            if isinstance(layer, nn.Conv2D):
                stack.callback(layer.register_forward_post_hook(count_layer).remove)
        for name, rule in _RULES.items():
            original = getattr(F, name)
            stack.callback(setattr, F, name, original)
            setattr(F, name, partial(count_call, original, rule))
        yield counts


def _weight_and_bias(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    given = [*args, None, None]
    weight = kwargs["weight"] if "weight" in kwargs else given.pop(0)
    return weight, kwargs.get("bias", given[0])


def _conv(output: Any, x: Any, weight: Any, bias: Any) -> Counts:
    macs = _size(output) // weight.shape[0] * weight.size
    return macs, macs + _bias_size(output, bias)


def _transposed(output: Any, x: Any, weight: Any, bias: Any) -> Counts:
    pixels = _size(output) // output.shape[1]
    return _size(x) // x.shape[1] * weight.size, pixels * weight.size + _bias_size(output, bias)


def _linear(output: Any, x: Any, weight: Any, bias: Any) -> Counts:
    macs = _size(x) // x.shape[-1] * weight.size
    return macs, macs + _bias_size(output, bias)


def _activation(output: Any, *_: Any) -> Counts:
    return 0, _size(output)


def _pooling(output: Any, x: Any, *_: Any) -> Counts:
    return 0, _size(x)


_RULES: dict[str, Callable[..., Counts]] = {
    "conv2d": _conv,
    "conv2d_transpose": _transposed,
    "linear": _linear,
    **dict.fromkeys(("relu", "leaky_relu", "prelu", "sigmoid", "gelu"), _activation),
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), _pooling),
}
"""Functions of paddle.nn.functional: (output, x, weight, bias) -> counts."""


def _bias_size(output: Any, bias: Any) -> int:
    return 0 if bias is None else _size(output)


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape))
