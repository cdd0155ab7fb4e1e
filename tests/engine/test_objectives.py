"""Objectives are found, those of other packages too."""

from __future__ import annotations

import pytest
import yaml

from paddle_restore.engine.objectives import OBJECTIVES, build_objective
from paddle_restore.errors import UserError
from paddle_restore.models import create_model
from tests.package import install, run_python

MODULE = """
from typing import Literal

from paddle_restore.engine.objectives import OBJECTIVES, ObjectiveKind, ObjectiveOptions


class MirrorOptions(ObjectiveOptions):
    kind: Literal["mirror"] = "mirror"
    weight: float = 1.0


class Mirror:
    def __init__(self, options):
        self.weight = options.weight

    def __call__(self, model, batch):
        output, mirrored = model(batch["input"]), model(batch["input"].flip(-1)).flip(-1)
        l1, same = (output - batch["target"]).abs().mean(), (output - mirrored).abs().mean()
        return {"l1": l1, "same": same, "loss": l1 + self.weight * same}


OBJECTIVES.add("mirror", ObjectiveKind(MirrorOptions, Mirror))
"""

CODE = """
import json
from pathlib import Path

from paddle_restore.engine.config import load_config
from paddle_restore.engine.trainer import train

train(load_config("recipe.yml"), Path("run"))
row = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[0])
print(abs(row["loss"] - row["l1"] - 0.5 * row["same"]) < 1e-6, row["same"] > 0)
"""


def test_an_objective_has_the_name_that_its_options_give():
    assert {"supervised", "invertible"} <= set(OBJECTIVES)
    for name, objective in OBJECTIVES.items():
        assert objective.options.model_fields["kind"].default == name


def test_an_unknown_objective_names_the_nearest():
    with pytest.raises(UserError, match="unknown objective 'supervise'; did you mean 'supervised'"):
        OBJECTIVES.find("supervise")


@pytest.mark.parametrize(
    ("kind", "missing"), [("supervised", "targets"), ("invertible", "low-resolution targets")]
)
def test_a_batch_without_what_an_objective_needs_is_one_line(kind, missing):
    objective = build_objective(OBJECTIVES[kind].options())
    with pytest.raises(UserError, match=f"objective.kind: {kind} needs {missing}"):
        objective(create_model("invdn", width=8, blocks=1), {"input": None})


def test_a_recipe_can_name_an_objective_of_another_package(picture_recipe, tmp_path):
    install(tmp_path, "paddle_restore.engine.objectives", "mirror_objective", MODULE)
    recipe = yaml.safe_load(picture_recipe.read_text())
    recipe["model"] = {"id": "mirnet_v2_small", "args": {"width": 8, "groups": [1]}}
    recipe["objective"] = {"kind": "mirror", "weight": 0.5}
    recipe["train"]["iterations"] = 1
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(recipe))
    assert run_python(CODE, tmp_path).splitlines()[-1] == "True True"
