"""What a recipe's `pretrained` loads, and what the log says of it."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from paddle_restore.engine.config import load_config
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.weights import convert_state_dict, load_pdparams
from tests.weights.test_convert import pytorch_names


@pytest.fixture
def published(tmp_path):
    """A published checkpoint by its authors' names, in the recipe's size."""
    state = pytorch_names(4)
    save_file(state, tmp_path / "published.safetensors")
    return state


def run(recipe, folder, *overrides):
    pretrained = f"pretrained={folder / 'published.safetensors'}"
    config = load_config(recipe, (pretrained, "train.epochs=1", "optimizer.lr=1.0e-30", *overrides))
    train(config, folder / "run")
    return load_pdparams(folder / "run/latest/model.pdparams"), (folder / "run/train.log").read_text()


def test_training_starts_from_published_weights(tiny_recipe, tmp_path, published):
    trained, log = run(tiny_recipe, tmp_path)
    for name, array in convert_state_dict(published, "sid_unet").items():
        np.testing.assert_array_equal(trained[name], array)
    assert "published.safetensors, 0 arrays skipped" in log


def test_a_partial_load_must_be_asked_for_and_lists_what_it_skipped(tiny_recipe, tmp_path, published):
    del published["conv10_1.bias"]
    save_file(published, tmp_path / "published.safetensors")
    with pytest.raises(UserError, match=r"1 missing: head\.bias"):
        run(tiny_recipe, tmp_path)
    assert not (tmp_path / "run").exists()
    trained, log = run(tiny_recipe, tmp_path, "pretrained_partial=true")
    np.testing.assert_array_equal(trained["head.weight"], published["conv10_1.weight"])
    assert "published.safetensors, 1 arrays skipped\n" in log
    assert " missing: head.bias\n" in log
