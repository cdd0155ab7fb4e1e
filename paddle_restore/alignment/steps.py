"""The steps of an alignment: data, metric, forward, loss, backward, train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import paddle

from paddle_restore.alignment.cases import CASES, Case
from paddle_restore.alignment.data import PREPARATIONS, Values, measure
from paddle_restore.alignment.golden import GoldenFolder, Reference
from paddle_restore.alignment.procedural import procedural_input
from paddle_restore.engine.config import OptimizerOptions
from paddle_restore.engine.objectives import OBJECTIVES, build_objective
from paddle_restore.engine.optim import build_optimizer
from paddle_restore.models import create_model
from paddle_restore.options import validate
from paddle_restore.weights import convert_state_dict, load_into


def align(id: str, folder: GoldenFolder) -> Iterator[tuple[str, Values, Values]]:
    """Yield (step, our values, the authors') of network `id`, which must be a key of CASES.

    Steps that the golden values say nothing of are left out. Weights, losses, optimiser and
    metrics are those that recipes use.
    """
    case = CASES[id]
    for step, values in (
        ("data", PREPARATIONS[case.data](folder)),
        ("metric", measure(folder, case.protocols)),
    ):
        if all(values):
            yield (step, *values)
    reference = folder.reference(case.golden)
    model = golden_model(id, case, reference)
    batch = golden_batch(case, reference)
    yield "forward", {"output": forward(model, batch)}, {"output": reference.output}
    if case.objective is not None:
        yield from _training(id, case, reference, model, batch)


def golden_model(id: str, case: Case, reference: Reference) -> Any:
    """Build the network in the size of the golden values and with their weights."""
    model = create_model(id, **case.args)
    load_into(model, convert_state_dict(reference.weights, id), source=f"golden {case.golden}")
    return model


def forward(model: Any, batch: dict[str, Any]) -> np.ndarray:
    """The network's output on the batch's input, and on its noise where it has one."""
    with paddle.no_grad():
        return model(*(batch[name] for name in ("input", "noise") if name in batch)).numpy()


def golden_batch(case: Case, reference: Reference) -> dict[str, Any]:
    """A batch as objectives take it; invertible networks get their noise and low resolution too."""
    batch = {
        "input": reference.input(case.tag),
        "target": procedural_input(f"{case.tag}/gt", reference.output.shape),
    }
    if "latent" in reference.arrays:
        noise = batch["noise"] = reference.arrays["latent"]
        batch["lq"] = procedural_input(f"{case.tag}/lq", (noise.shape[0], 3, *noise.shape[2:]))
    return {name: paddle.to_tensor(array) for name, array in batch.items()}


def _training(
    id: str, case: Case, reference: Reference, model: Any, batch: dict[str, Any]
) -> Iterator[tuple[str, Values, Values]]:
    """Yield loss and gradients of the first step, then what all of them led to."""
    objective = build_objective(
        validate(OBJECTIVES[case.objective["kind"]].options, case.objective, id, "objective")
    )
    options = OptimizerOptions(clip_norm=case.clip_norm, **reference.optimizer)
    optimizer = build_optimizer(options, model.parameters())
    losses = {}
    for step, _ in enumerate(reference.losses, start=1):
        loss = objective(model, batch)["loss"]
        losses[f"loss {step}"] = loss.numpy()
        loss.backward()
        if step == 1:
            yield "loss", {"loss": loss.numpy()}, {"loss": np.array(reference.losses[0])}
            gradients = {name: _norm(p.grad) for name, p in model.named_parameters()}
            yield "backward", gradients, _renamed(reference.gradients, id)
        optimizer.step()
        optimizer.clear_grad()
    expected = {f"loss {step}": np.array(loss) for step, loss in enumerate(reference.losses, start=1)}
    after = _renamed(reference.weights_after, id)
    norms = {name: _norm(p) for name, p in model.named_parameters() if name in after}
    yield "train", {**losses, **norms}, {**expected, **after}


def _renamed(norms: Mapping[str, float], id: str) -> Values:
    return convert_state_dict({name: np.array(norm) for name, norm in norms.items()}, id)


def _norm(tensor: Any) -> np.ndarray:
    # Not paddle.linalg.norm: on CPU its float32 sum is 2e-3 off at a million values.
    values = np.zeros(1) if tensor is None else tensor.numpy().astype(np.float64)
    return np.array(np.linalg.norm(values))
