"""Find the network that a checkpoint belongs to, and check that it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np
import paddle
from paddle import nn

from paddle_restore.arithmetic import round_up
from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.models import create_model, foreign_names, list_models
from paddle_restore.weights.convert import convert_state_dict
from paddle_restore.weights.load import compare, load_into

Weights = Mapping[str, np.ndarray]


def _attempts(reference: Weights, ids: list[str]) -> Iterator[tuple[str, dict[str, Any], Weights]]:
    """Yield (id, arguments, weights) that may fit, the likeliest first."""
    renamed = {}
    for id in ids:
        try:
            renamed[id] = convert_state_dict(reference, id)
        except UserError:
            continue
    for id, state in renamed.items():  # the published sizes
        yield id, {}, state
    for id, state in renamed.items():
        names = foreign_names(id)
        if names is None or names.sizes is None:
            continue
        try:
            yield id, names.sizes(state), state
        except (LookupError, ValueError):  # weights of another network
            continue
    for id in ids:  # our own names, from an earlier conversion or training
        yield id, {}, reference


def _outline(id: str, arguments: dict[str, Any]) -> Optional[nn.Layer]:
    """Return the network, to compare shapes with; None where it cannot have the size that a file claims."""
    if not arguments:
        return create_model(id)
    try:
        with paddle.LazyGuard():  # takes no memory for sizes that a file claims
            return create_model(id, **arguments)
    except UserError:
        return None


def recognise(reference: Weights, model: Optional[str] = None) -> tuple[nn.Layer, dict[str, Any], Weights]:
    """Find the network whose weights `reference` holds, under our names or published ones.

    `model` narrows the search to one id. Returns the network with those weights, the arguments of
    `create_model` that differ from the published size, and the converted weights. Raises UserError where no
    network fits, with the differences to the nearest one.
    """
    if model is not None and model not in list_models():
        raise UserError(f"unknown model {model!r}{did_you_mean(model, list_models())}")
    ids = [model] if model else list_models()
    nearest: tuple[int, str] = (len(reference) + 1, "")
    for id, arguments, state in _attempts(reference, ids):
        outline = _outline(id, arguments)
        if outline is None:
            continue
        differences = compare(outline, state)
        if not differences:
            network = create_model(id, **arguments)
            load_into(network, state)
            return network, arguments, state
        text = "; ".join(f"{len(names)} {kind}, such as {names[0]}" for kind, names in differences.items())
        nearest = min(nearest, (sum(map(len, differences.values())), f"; {id} is nearest: {text}"))
    example = next(iter(reference))
    raise UserError(
        f"{len(reference)} parameters, such as {example!r} {reference[example].shape}, "
        f"fit none of {', '.join(ids)}{nearest[1]}"
    )


def check_forward(network: nn.Layer, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Run the network once on a random input; return input and output, (1, C, H, W) each.

    Raises UserError for an output of the wrong shape or one that is not finite.
    """
    spec = network.spec
    rng = np.random.default_rng(seed)
    side = round_up(64, spec.multiple)
    inputs = [rng.random((1, spec.in_channels, side, side), dtype=np.float32)]
    if spec.latent:
        inputs.append(rng.standard_normal((1, *spec.latent.shape(side, side)), dtype=np.float32))
    network.eval()
    with paddle.no_grad():
        output = network(*map(paddle.to_tensor, inputs)).numpy()
    expected = (1, 3, side * spec.scale, side * spec.scale)
    if output.shape != expected or not np.isfinite(output).all():
        raise UserError(
            f"these weights do not run: {spec.id} gave {output.shape} instead of {expected}, "
            f"with {int((~np.isfinite(output)).sum())} values that are not finite"
        )
    return inputs[0], output
