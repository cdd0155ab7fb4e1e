"""Networks with the golden weights, for what their tests check beyond the alignment."""

from __future__ import annotations

import paddle

from paddle_restore.alignment import GoldenFolder, golden_of
from paddle_restore.alignment.procedural import procedural_input
from paddle_restore.alignment.steps import golden_model
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden"


def aligned_model(id: str):
    """Network `id` in the size of its golden values and with their weights."""
    golden = golden_of(id)
    return golden_model(id, golden, GoldenFolder(GOLDEN).reference(golden))


def tensor(tag, shape):
    return paddle.to_tensor(procedural_input(tag, tuple(shape)))


def parameters(model) -> int:
    return sum(p.size for p in model.parameters())
