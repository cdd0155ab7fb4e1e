"""Kinds of dataset are found, those of other packages too."""

from __future__ import annotations

import pytest

from paddle_restore.data.datasets import DATASETS
from paddle_restore.errors import UserError
from tests.package import install, run_python

MODULE = """
from typing import Literal

import numpy as np

from paddle_restore.data.datasets import DATASETS, DatasetKind, DatasetOptions


class SlopeOptions(DatasetOptions):
    kind: Literal["slope"] = "slope"
    crop: int = 8


class Slope:
    note = ""

    def __init__(self, options, spec, crop=None):
        self.size = crop or options.crop

    def __len__(self):
        return 3

    def sample(self, index, rng=None):
        picture = np.linspace(0, 1, 3 * self.size**2, dtype=np.float32).reshape(3, self.size, self.size)
        return {"input": picture, "target": picture, "name": str(index)}


DATASETS.add("slope", DatasetKind(SlopeOptions, Slope, Slope))
"""

RECIPE = """
name: slope
model: {id: mirnet_v2_small}
data: {kind: slope, crop: 16}
objective: {kind: supervised, losses: {l1: 1.0}}
train: {iterations: 1}
"""

CODE = """
from paddle_restore.data.datasets import DATASETS
from paddle_restore.engine.config import load_config

config = load_config("slope.yml")
data = DATASETS.find(config.data.kind).train(config.data, None)
print(config.data.kind, len(data), data.sample(0)["input"].shape)
"""


def test_our_kinds():
    assert {"sid", "pairs", "raw_pairs"} <= set(DATASETS)
    for name in ("sid", "pairs", "raw_pairs"):
        assert DATASETS[name].options.model_fields["kind"].default == name
        assert "crop" in DATASETS[name].options.model_fields


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UserError, match="unknown dataset kind 'pair'; did you mean 'pairs'"):
        DATASETS.find("pair")


def test_a_recipe_can_name_a_kind_of_another_package(tmp_path):
    install(tmp_path, "paddle_restore.data.datasets", "slope_dataset", MODULE)
    (tmp_path / "slope.yml").write_text(RECIPE)
    assert run_python(CODE, tmp_path) == "slope 3 (3, 16, 16)\n"
