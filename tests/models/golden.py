"""Networks with the golden weights, compared with what the authors' code gave on them.

tests/golden/NAME.json holds the reference's parameter names and shapes, gradient norms and Adam
losses, NAME.npz its arrays; weights and inputs are rebuilt from their names.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle

from paddle_restore import create_model
from paddle_restore.weights import convert_state_dict
from tests.golden.procedural import procedural_input, procedural_weight

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


class Golden:
    """One reference network's values; `model()` is ours with its weights."""

    def __init__(self, name: str, id: str, **kwargs):
        values = json.loads((GOLDEN / f"{name}.json").read_text())
        self.id, self.kwargs = id, kwargs
        self.shapes, self.gain = values["state_dict"], values["gain"]
        self.parameters, self.input_shape = values["params"], values["input_shape"]
        self.gradients, self.adam = values["grad_l2"], values["adam"]
        self.arrays = dict(np.load(GOLDEN / f"{name}.npz"))

    def model(self):
        reference = {
            name: procedural_weight(name, shape, gain=self.gain) for name, shape in self.shapes.items()
        }
        model = create_model(self.id, **self.kwargs)
        load(model, convert_state_dict(reference, self.id))
        return model

    def check_gradients(self, model, loss, relative=1e-3):
        """Gradient norms of `loss`, each within `relative` of the reference's."""
        loss.backward()
        ours = dict(model.named_parameters())
        expected = convert_state_dict(self.gradients, self.id)
        assert set(ours) == set(expected)
        for name, norm in expected.items():
            # Not paddle.linalg.norm: on CPU its float32 sum is 2e-3 off at a million values.
            gradient = np.linalg.norm(ours[name].grad.numpy().astype(np.float64))
            np.testing.assert_allclose(gradient, norm, rtol=relative, err_msg=name)

    def check_adam(self, model, loss_of, losses, relative=1e-3, grad_clip=None):
        """`losses` are those of consecutive Adam steps on `loss_of(model)`."""
        optimizer = paddle.optimizer.Adam(
            self.adam["lr"], *self.adam["betas"], parameters=model.parameters(), grad_clip=grad_clip
        )
        for step, expected in enumerate(losses):
            loss = loss_of(model)
            np.testing.assert_allclose(loss.item(), expected, rtol=relative, err_msg=f"step {step}")
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()


def load(model, weights):
    """Load all of `weights`, and nothing but them."""
    missing, unexpected = model.set_state_dict(weights)
    assert not missing, missing
    assert not unexpected, unexpected


def tensor(tag, shape):
    return paddle.to_tensor(procedural_input(tag, tuple(shape)))


def assert_close(ours, expected, relative=1e-4):
    """Every value within `relative` of the largest one."""
    ours = ours.numpy() if isinstance(ours, paddle.Tensor) else ours
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=relative * np.abs(expected).max())


def parameters(model) -> int:
    return sum(p.size for p in model.parameters())
