"""Weights go into a network exactly, or one line says which keys differ."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from paddle_restore.errors import UserError
from paddle_restore.models import create_model
from paddle_restore.weights import load_into, load_pdparams, load_weights
from tests.weights.test_convert import pytorch_names


@pytest.fixture
def model():
    paddle.seed(1)
    return create_model("sid_unet", width=2)


@pytest.fixture
def state(model):
    """Other weights than the model's own."""
    return {name: value.numpy() + 1 for name, value in model.state_dict().items()}


def values(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


def test_fitting_weights_are_set(model, state):
    assert load_into(model, state) == []
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, state[name])


def test_other_types_are_cast(model, state):
    load_into(model, {name: array.astype(np.float64) for name, array in state.items()})
    np.testing.assert_array_equal(values(model)["head.bias"], state["head.bias"])


def test_differing_keys_are_counted_and_named_and_nothing_is_set(model, state):
    before = values(model)
    del state["head.bias"]
    state["extra"] = np.zeros(3)
    state["head.weight"] = np.zeros((12, 3, 1, 1))
    with pytest.raises(UserError) as error:
        load_into(model, state, source="some.pdparams")
    message = str(error.value)
    assert "some.pdparams" in message
    assert "sid_unet" in message
    assert "1 missing: head.bias" in message
    assert "1 unexpected: extra" in message
    assert "head.weight (12, 3, 1, 1) instead of (12, 2, 1, 1)" in message
    assert "\n" not in message
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_weights_of_another_network(model):
    other = {f"conv{i}.weight": np.zeros((3, 3)) for i in range(9)}
    with pytest.raises(UserError, match=r"46 missing: .*, …; 9 unexpected.*convert_weights"):
        load_into(model, other)
    with pytest.raises(UserError, match="9 unexpected"):
        load_into(model, other, partial=True)


def test_a_partial_load_lists_what_it_skipped(model, state):
    del state["head.bias"]
    state["extra"] = np.zeros(3)
    before = values(model)["head.bias"]
    assert load_into(model, state, partial=True) == ["missing: head.bias", "unexpected: extra"]
    np.testing.assert_array_equal(values(model)["head.bias"], before)
    np.testing.assert_array_equal(values(model)["head.weight"], state["head.weight"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"epoch": 3, "state_dict": s, "optimizer": {}},
        lambda s: {"iter": 3, "params": s},
        lambda s: {"params": s},
        lambda s: {"model": {f"module.{name}": array for name, array in s.items()}},
        lambda s: {"state_dict": {f"_layers.{name}": array for name, array in s.items()}, "best": 28.9},
    ],
)
def test_pdparams_bare_and_wrapped(model, tmp_path, wrap):
    path = str(tmp_path / "model.pdparams")
    paddle.save(wrap(model.state_dict()), path)
    loaded = load_pdparams(path)
    assert load_into(create_model("sid_unet", width=2), loaded) == []
    np.testing.assert_array_equal(loaded["head.weight"], model.head.weight.numpy())


def test_bfloat16_weights(model, tmp_path):
    path = str(tmp_path / "model.pdparams")
    half = create_model("sid_unet", width=2)
    half.to(dtype="bfloat16")
    paddle.save(half.state_dict(), path)
    loaded = load_pdparams(path)
    assert loaded["head.weight"].dtype == np.float32
    np.testing.assert_array_equal(loaded["head.weight"], half.head.weight.astype("float32").numpy())
    load_into(model, loaded)
    np.testing.assert_array_equal(model.head.weight.numpy(), loaded["head.weight"])
    load_into(half, loaded)
    np.testing.assert_array_equal(half.head.weight.astype("float32").numpy(), loaded["head.weight"])


@pytest.mark.parametrize("value", [{"epoch": 1}, {}, [1], {"a": {"b": 1}}, {"x": np.zeros(3), "y": 1}])
def test_files_without_a_state_dict(tmp_path, value):
    path = str(tmp_path / "model.pdparams")
    paddle.save(value, path)
    with pytest.raises(UserError, match="holds no state dict"):
        load_pdparams(path)


def test_published_names_load_as_they_are(model, tmp_path):
    published = pytorch_names(2)
    save_file(published, tmp_path / "w")
    assert load_weights(model, tmp_path / "w") == []
    np.testing.assert_array_equal(values(model)["head.weight"], published["conv10_1.weight"])
    del published["conv10_1.bias"]
    save_file(published, tmp_path / "w")
    with pytest.raises(UserError, match=r"1 missing: head\.bias"):
        load_weights(model, tmp_path / "w")
    assert load_weights(model, tmp_path / "w", partial=True) == ["missing: head.bias"]


def test_names_of_nobody_point_to_the_converter(model, tmp_path):
    save_file({"backbone.0.weight": np.zeros(3)}, tmp_path / "w")
    with pytest.raises(UserError, match=r"1 unexpected: backbone\.0\.weight.*convert_weights"):
        load_weights(model, tmp_path / "w")
