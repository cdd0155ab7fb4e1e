"""Which evaluation best_model/ is chosen by, and metrics that need no reference."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_restore.data.datasets.pairs import PairsEval
from paddle_restore.engine.config import load_config
from paddle_restore.engine.evaluator import evaluate, means, picture_saver, report
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.metrics import PROTOCOLS, Protocol
from paddle_restore.models import create_model
from tests.engine.runs import arrays, records


@pytest.fixture
def difference(monkeypatch):
    """A metric where lower is better."""

    def test_difference(picture, reference):
        return float(np.abs(picture.astype(np.float64) - reference).mean())

    PROTOCOLS.find("psnr")  # all others are found before
    protocol = Protocol("test_difference", test_difference, higher_is_better=False, needs_reference=True)
    monkeypatch.setitem(PROTOCOLS._parts, "test_difference", protocol)
    return "test_difference"


def best_of(run):
    return json.loads((run / "latest/state.json").read_text())["best"]


@pytest.mark.parametrize(("metric", "choose"), [("test_difference", min), ("psnr", max)])
def test_the_best_model_is_chosen_by_the_metrics_direction(
    picture_recipe, tmp_path, difference, metric, choose
):
    options = (f"eval.metrics=[{metric}]", "eval.every=1", "save.keep_every=1")
    train(load_config(picture_recipe, options), tmp_path)
    scores = {row["iteration"]: row[metric] for row in records(tmp_path) if row["phase"] == "eval"}
    assert len(set(scores.values())) == 6
    iteration = choose(scores, key=scores.get)
    assert best_of(tmp_path) == {"score": scores[iteration], "metric": metric, "iteration": iteration}
    best, kept = arrays(tmp_path / "best_model"), arrays(tmp_path / f"iter_{iteration}")
    for name, value in kept.items():
        np.testing.assert_array_equal(best[name], value, err_msg=name)


def test_scores_of_two_metrics_are_not_compared(picture_recipe, tmp_path, difference):
    """A resumed run with another `eval.best` begins to choose anew."""
    train(load_config(picture_recipe, ("train.iterations=2",)), tmp_path)
    assert best_of(tmp_path)["metric"] == "psnr"
    options = ("train.iterations=3", f"eval.metrics=[{difference}]")
    train(load_config(picture_recipe, options), tmp_path, tmp_path / "latest")
    assert best_of(tmp_path)["metric"] == difference
    assert best_of(tmp_path)["iteration"] == 3


class WithoutTarget(PairsEval):
    def sample(self, index):
        return {key: value for key, value in super().sample(index).items() if key != "target"}


def test_metrics_without_reference_need_no_target(picture_recipe, tmp_path):
    config = load_config(picture_recipe, ("eval.metrics=[colourfulness]",))
    model = create_model(config.model.id, **config.model.args)
    dataset = WithoutTarget(config.data, model.spec)
    save = picture_saver(tmp_path / "pictures")
    rows = evaluate(EagerNetwork(model), model.spec, dataset, config.eval.metrics, on_picture=save)
    mean = means(rows, config.eval.metrics)["colourfulness"]
    assert mean > 0
    assert f"{mean:.4f}" in report(rows, config.eval.metrics)
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        f"{number}_{kind}.png" for number in (0, 1) for kind in ("out", "scale")
    }
    with pytest.raises(UserError, match="'psnr' needs a reference"):
        evaluate(EagerNetwork(model), model.spec, dataset, ("psnr",))


def test_a_run_may_choose_by_a_metric_without_reference(picture_recipe, tmp_path):
    options = ("eval.metrics=[psnr, colourfulness]", "eval.best=colourfulness")
    train(load_config(picture_recipe, options), tmp_path)
    assert best_of(tmp_path)["metric"] == "colourfulness"
