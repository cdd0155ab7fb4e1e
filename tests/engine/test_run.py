"""A run and its folder: nothing foreign is deleted, nothing broken is saved or resumed from."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import paddle
import pytest

from paddle_restore.engine.checkpoint import choose_checkpoint, empty_folder
from paddle_restore.engine.config import load_config
from paddle_restore.engine.logging import RunLog
from paddle_restore.engine.optim import Plan
from paddle_restore.engine.state import RunState
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.weights import load_pickle


@pytest.fixture(scope="module")
def run(tiny_recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    train(load_config(tiny_recipe, ("train.epochs=1", "data.limit=2")), folder)
    return folder


def test_starting_anew_removes_a_run_and_nothing_else(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "iter_2").mkdir()
    (folder / ".latest.old").mkdir()
    (folder / "raws").mkdir()
    (folder / "raws/mine.ARW").write_text("precious")
    (folder / "notes.txt").write_text("precious")
    empty_folder(folder)
    assert {path.name for path in folder.iterdir()} == {"raws", "notes.txt"}
    assert (folder / "raws/mine.ARW").read_text() == "precious"


def test_weights_that_are_not_finite_are_not_saved(tiny_recipe, tmp_path):
    config = load_config(tiny_recipe, ("train.epochs=1", "data.limit=2", "optimizer.lr=1e39"))
    with pytest.raises(UserError, match=r"non-finite .* no checkpoint had been saved yet"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/best_model").exists()
    assert not (tmp_path / "run/latest").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("state.json", "{}", "cannot be resumed from"),
        ("state.json", "[]", "cannot be resumed from"),
        ("state.json", "{", "cannot be resumed from"),
        ("model.pdparams", "", "model.pdparams"),
        ("model.pdopt", "nonsense", "model.pdopt"),
        ("state.json", '{"iteration": -1, "best": null}', "iteration: Input should be greater"),
        ("state.json", '{"iteration": 1, "best": null, "meter": 3}', "cannot be resumed from: meter"),
        ("state.json", '{"iteration": 1, "best": {"score": "x"}}', "cannot be resumed from: best.score"),
    ],
)
def test_a_broken_checkpoint_is_one_line(run, tiny_recipe, tmp_path, name, content, message):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/latest" / name).write_text(content)
    config = load_config(tiny_recipe, ("train.epochs=2", "data.limit=2"))
    with pytest.raises(UserError, match=message):
        train(config, tmp_path / "run", tmp_path / "run/latest")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda states, key: states.pop(key), "states of .* are missing"),
        (lambda states, key: states.update({key: np.zeros((2, 2), np.float32)}), "moment1_0 does not fit"),
        (lambda states, key: states.update({key: states[key].astype(float)}), "moment1_0 does not fit"),
        (lambda states, key: states.update({key: 3}), "moment1_0 does not fit"),
        (lambda states, key: states.update({7: states.pop(key)}), "7 does not fit"),
    ],
)
def test_optimiser_states_that_do_not_fit_are_one_line(run, tiny_recipe, tmp_path, spoil, message):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run/latest/model.pdopt"
    states = load_pickle(file)
    spoil(states["optimizer"], next(key for key in states["optimizer"] if key.endswith("moment1_0")))
    file.write_bytes(pickle.dumps(states, protocol=2))
    with pytest.raises(UserError, match=rf"model.pdopt: .*{message}"):
        train(load_config(tiny_recipe, ("train.epochs=2", "data.limit=2")), tmp_path / "run", file.parent)


def test_a_resumed_run_says_that_its_average_begins_anew(run, tiny_recipe, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    config = load_config(tiny_recipe, ("train.epochs=2", "data.limit=2", "train.ema={}"))
    train(config, tmp_path / "run", tmp_path / "run/latest")
    line = "latest/model_ema.pdparams is not there: the average begins with the weights"
    assert capsys.readouterr().out.count(line) == 1
    train(config, tmp_path / "run", tmp_path / "run/latest")
    assert line not in capsys.readouterr().out


def test_a_run_is_not_written_over_by_one_resumed_from_elsewhere(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for source in (run, run / "latest"):
        with pytest.raises(UserError, match=r"other: holds a run already; .*--resume auto"):
            choose_checkpoint(other, str(source), overwrite=False)
        assert choose_checkpoint(other, str(source), overwrite=True) == run / "latest"
        assert choose_checkpoint(tmp_path / "new", str(source), overwrite=False) == run / "latest"
        assert choose_checkpoint(run, str(source), overwrite=False) == run / "latest"


def test_a_kept_checkpoint_is_one_to_go_on_from(tiny_recipe):
    config = load_config(tiny_recipe, ("train={iterations: 900}", "save={keep_every: 400, keep_at: [7]}"))
    assert Plan(config, samples=9).save_points == {7, 400, 800, 900}


def test_weights_in_place_of_the_optimiser_are_one_line(run, tiny_recipe, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    latest = tmp_path / "run/latest"
    shutil.copy(latest / "model.pdparams", latest / "model.pdopt")
    with pytest.raises(UserError, match="holds no optimiser state"):
        train(load_config(tiny_recipe, ("train.epochs=2", "data.limit=2")), tmp_path / "run", latest)


def test_a_run_goes_on_with_what_it_was_begun_with(run, tiny_recipe, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    latest = tmp_path / "run/latest"
    for change in ("optimizer.kind=sgd", "seed=5", "model.args.width=8"):
        with pytest.raises(UserError, match=f"cannot be resumed with another {change.split('=')[0]}"):
            train(
                load_config(tiny_recipe, ("train.epochs=2", "data.limit=2", change)), tmp_path / "run", latest
            )
    train(
        load_config(tiny_recipe, ("train.epochs=2", "data.limit=2", "train.log_every=2")),
        tmp_path / "run",
        latest,
    )
    assert "the recipe has changed: train.log_every: 1 -> 2" in capsys.readouterr().out


def test_a_record_cut_short_by_a_kill_is_dropped(tmp_path):
    lines = [json.dumps({"phase": "train", "iteration": i}) for i in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + '\n{"phase": "tra')
    log = RunLog(tmp_path, total=4, done=2)
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text().splitlines() == lines[:2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.crop=33", "sid_unet needs a multiple of 16, not 33"),
        ("data.crop=512", "smaller than the crop of 512"),
        ("model.args.width=-3", "model 'sid_unet' cannot be built"),
        ("model.args.width=abc", "model 'sid_unet' cannot be built"),
        ("eval.metrics=[]", "eval.metrics"),
        ("optimizer.betas=[2, 2]", "optimizer.betas"),
        ("optimizer.lr=.nan", "optimizer.lr"),
        ("seed=99999999999999999999", "seed"),
        ("save.every=1e-9", "too often"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(tiny_recipe, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        train(load_config(tiny_recipe, (change,)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_state_says_where_the_best_was(run):
    state = json.loads((run / "best_model/state.json").read_text())
    assert state["best"]["metric"] == "psnr_uint8"
    assert all(bool(paddle.isfinite(paddle.to_tensor(v))) for v in [state["best"]["score"]])


FORMER_STATE = {
    "iteration": 7,
    "best": {"score": 21.5, "metric": "psnr", "iteration": 5},
    "epoch": 2,
    "joint_batch": 4,
    "processes": 2,
    "evaluated": 5,
    "meter": {"count": 2, "losses": {"l1": 0.5, "loss": 0.5}},
    "unreadable": {"3.png: is not a picture": 2},
    "nonfinite": {"count": 3, "in_a_row": 1},
}
"""What version 0.1 wrote."""


def test_states_of_former_versions_are_read():
    assert RunState.model_validate(FORMER_STATE).model_dump() == {**FORMER_STATE, "samples": {}}
    first = RunState.model_validate({"iteration": 7, "best": None})
    assert (first.evaluated, first.nonfinite.count, first.meter.losses) == (7, 0, {})
    assert first.meter is not RunState.model_validate({"iteration": 7, "best": None}).meter
