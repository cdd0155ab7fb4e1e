"""The steps of an alignment: data, metric, forward, loss, backward, train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np
import paddle
from paddle import nn

from paddle_restore.alignment.data import Values, measure, prepare
from paddle_restore.alignment.golden import GoldenFolder, Reference, golden_of
from paddle_restore.engine.config import OptimizerOptions
from paddle_restore.engine.objectives import OBJECTIVES, build_objective
from paddle_restore.engine.optim import build_optimizer
from paddle_restore.models import Golden, create_model, foreign_names
from paddle_restore.options import validate
from paddle_restore.weights import convert_state_dict, load_into

Batch = dict[str, paddle.Tensor]


def align(id: str, folder: GoldenFolder) -> Iterator[tuple[str, Values, Values]]:
    """Yield (step, our values, the authors') of network `id`.

    Steps without golden values are left out. Weights, losses, optimiser and metrics come from the code that
    recipes use. Raises UserError for a network without golden values.
    """
    golden = golden_of(id, folder)
    for step, values in (
        ("data", prepare(folder, golden.data)),
        ("metric", measure(folder, golden.metrics)),
    ):
        if all(values):
            yield (step, *values)
    reference = folder.reference(golden)
    model = golden_model(id, golden, reference)
    batch = golden_batch(reference)
    yield "forward", {"output": forward(model, batch)}, {"output": reference.output}
    if golden.objective is not None:
        yield from _training(id, golden, reference, model, batch)


def golden_model(id: str, golden: Golden, reference: Reference) -> nn.Layer:
    """Build the network in the size of the golden values and with their weights."""
    model = create_model(id, **golden.args)
    load_into(model, _our_names(reference.weights, id, model), source=f"golden {golden.name}")
    return model


def forward(model: nn.Layer, batch: Batch) -> np.ndarray:
    """Return the network's output for the batch's input, and its noise where it has one."""
    with paddle.no_grad():
        return model(*(batch[name] for name in ("input", "noise") if name in batch)).numpy()


def golden_batch(reference: Reference) -> Batch:
    """Return a batch as objectives take it, with noise and low-resolution target where there are any."""
    arrays: dict[str, Optional[np.ndarray]] = {
        "input": reference.input,
        "target": reference.target,
        "noise": reference.latent,
        "lq": reference.low,
    }
    return {name: paddle.to_tensor(array) for name, array in arrays.items() if array is not None}


def _training(
    id: str, golden: Golden, reference: Reference, model: nn.Layer, batch: Batch
) -> Iterator[tuple[str, Values, Values]]:
    """Yield loss and gradients of the first step, then the losses and weights of all steps."""
    section: dict[str, Any] = golden.objective or {}
    objective = build_objective(validate(OBJECTIVES.find(section["kind"]).options, section, id, "objective"))
    options = OptimizerOptions(kind=golden.optimizer, **reference.optimizer)
    optimizer = build_optimizer(options, model.parameters())
    losses = {}
    for step, _ in enumerate(reference.losses, start=1):
        loss = objective(model, batch)["loss"]
        losses[f"loss {step}"] = loss.numpy()
        loss.backward()
        if step == 1:
            yield "loss", {"loss": loss.numpy()}, {"loss": np.array(reference.losses[0])}
            if reference.gradients:
                gradients = {name: _norm(p.grad) for name, p in model.named_parameters()}
                yield "backward", gradients, _our_norms(reference.gradients, id, model)
        optimizer.step()
        optimizer.clear_grad()
    expected = {f"loss {step}": np.array(loss) for step, loss in enumerate(reference.losses, start=1)}
    after = _our_norms(reference.weights_after, id, model)
    norms = {name: _norm(p) for name, p in model.named_parameters() if name in after}
    yield "train", {**losses, **norms}, {**expected, **after}


def _our_names(arrays: Mapping[str, np.ndarray], id: str, model: nn.Layer) -> Values:
    """Rename by the network's table. Golden values may also have our names."""
    ours = set(arrays) <= set(model.state_dict())
    return dict(arrays) if ours or not foreign_names(id) else convert_state_dict(arrays, id)


def _our_norms(norms: Mapping[str, float], id: str, model: nn.Layer) -> Values:
    return _our_names({name: np.array(norm) for name, norm in norms.items()}, id, model)


def _norm(tensor: Optional[paddle.Tensor]) -> np.ndarray:
    # Not paddle.linalg.norm: on CPU its float32 sum is 2e-3 off at a million values.
    values = np.zeros(1) if tensor is None else tensor.numpy().astype(np.float64)
    return np.array(np.linalg.norm(values))
