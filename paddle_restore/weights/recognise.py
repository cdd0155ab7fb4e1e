"""Which network a checkpoint is of, and whether it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import paddle

from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.models import create_model, list_models
from paddle_restore.weights.convert import SIZES, TABLES, convert_state_dict
from paddle_restore.weights.load import compare, load_into


def _attempts(reference: Mapping[str, np.ndarray], ids: list[str]) -> Any:
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
        try:
            yield id, SIZES[id](state), state
        except (LookupError, ValueError):  # no such function, or not what it expects
            continue
    for id in ids:  # our own names, from an earlier conversion or training
        yield id, {}, dict(reference)


def _outline(id: str, arguments: dict[str, Any]) -> Any:
    """The network, to compare shapes with; None where a file claims a size that none can have."""
    if not arguments:
        return create_model(id)
    try:
        with paddle.LazyGuard():  # no memory for sizes that a file claims
            return create_model(id, **arguments)
    except UserError:
        return None


def recognise(
    reference: Mapping[str, np.ndarray], model: Optional[str] = None
) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
    """Find the network that `reference` (of any source that we know) holds the weights of.

    `model` narrows the search to one id. Returns the network with those weights, the arguments
    of `create_model` that differ from the published size, and the converted weights. Raises
    UserError where no network fits, with the differences of the nearest one.
    """
    if model is not None and model not in list_models():
        raise UserError(f"unknown model {model!r}{did_you_mean(model, list_models())}")
    ids = [model] if model else [id for id in list_models() if id in TABLES]
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


def check_forward(network: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Run the network once on a random input; return input and output, (1, C, H, W) each.

    Raises UserError for an output of the wrong shape or one that is not finite.
    """
    spec = network.spec
    rng = np.random.default_rng(seed)
    side = -(-64 // spec.multiple) * spec.multiple
    inputs = [rng.random((1, spec.in_channels, side, side), dtype=np.float32)]
    if spec.latent:
        small = side // spec.latent.stride
        inputs.append(rng.standard_normal((1, spec.latent.channels, small, small), dtype=np.float32))
    network.eval()
    with paddle.no_grad():
        output = network(*map(paddle.to_tensor, inputs)).numpy()
    expected = (1, 3, side * spec.scale, side * spec.scale)
    if output.shape != expected or not np.isfinite(output).all():
        raise UserError(
            f"these weights do not run: {spec.id} gave {output.shape} instead of {expected}, "
            f"with {int((~np.isfinite(output)).sum())} values that are no numbers"
        )
    return inputs[0], output
