"""Bad files, bad numbers, dead workers and full disks: named, counted, survived."""

from __future__ import annotations

import copy
import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
from contextlib import contextmanager, nullcontext

import numpy as np
import paddle
import pytest

from paddle_restore.data.batches import UNREADABLE, Order, WorkerError, batches
from paddle_restore.data.datasets.pairs import PairsTrain
from paddle_restore.engine import trainer
from paddle_restore.engine.checkpoint import find_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.logging import RunLog
from paddle_restore.engine.objectives.invertible import Invertible
from paddle_restore.engine.signals import Stopped
from paddle_restore.engine.step import Step
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.weights import load_pdparams
from tests.cli.test_chain import command
from tests.conftest import ROOT
from tests.engine.runs import arrays, assert_same_run, board, records
from tests.engine.test_course import Samples
from tests.engine.test_resume import StopAfter


def state_of(folder, name="latest"):
    return json.loads((folder / name / "state.json").read_text())


# ---- samples


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_sample_is_replaced_and_named(workers):
    order = Order(6, 2, 0)
    whole = list(batches(Samples(6), order, 0, 9))
    mended = list(batches(Samples(6, broken=[2, 4]), order, 0, 9, workers, max_unreadable=3))
    again = list(batches(Samples(6, broken=[2, 4]), order, 5, 9, max_unreadable=3))
    for one, two in zip(whole, mended):
        hit = {"2", "4"} & set(one["name"])
        assert {line[:18] for line in two.pop(UNREADABLE, [])} >= {f"sample {n} is broken" for n in hit}
        for position, name in enumerate(one["name"]):
            if name in hit:
                assert two["name"][position] not in ("2", "4")
            else:
                np.testing.assert_array_equal(one["input"][position].numpy(), two["input"][position].numpy())
    for one, two in zip(mended[5:], again):
        assert one["name"] == two["name"]
        np.testing.assert_array_equal(one["input"].numpy(), two["input"].numpy())


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_left_to_read_is_an_error_and_no_hang(workers):
    stream = batches(Samples(4, broken=range(4)), Order(4, 2, 0), 0, 2, workers, max_unreadable=9)
    with pytest.raises(UserError, match=r"sample \d is broken \(3 others cannot be read either\)"):
        next(stream)


class Fails(Samples):
    def __init__(self, action):
        super().__init__(4)
        self.action = action

    def sample(self, index, rng):
        return self.action()


def decode():
    return b"\xff".decode("utf-8")  # an exception that cannot be made from a text alone


def test_a_bug_in_a_worker_comes_with_its_own_traceback():
    with pytest.raises(WorkerError, match=r"(?s)in decode\n.*UnicodeDecodeError: 'utf-8' codec"):
        list(batches(Fails(decode), Order(4, 2, 0), 0, 2, workers=1, max_unreadable=9))


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"data worker \d+ was killed by SIGKILL; if memory"),
        (lambda: os._exit(3), r"a data worker exited unexpectedly \(exit codes \d+: 3\)"),
    ],
)
def test_a_dead_worker_is_one_line(action, line):
    with pytest.raises(UserError, match=line):
        list(batches(Fails(action), Order(4, 2, 0), 0, 2, workers=1))


def kill_one_worker(others):
    worker = next(process for process in multiprocessing.active_children() if process not in others)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(10)


@pytest.mark.parametrize("place", ["step", "evaluation", "checkpoint", "fetching"])
def test_a_killed_worker_is_one_line_and_what_was_trained_is_saved(
    picture_recipe, tmp_path, monkeypatch, place
):
    """Wherever the training is at that moment: Paddle's handler would raise there."""
    killed = []

    def wrapped(function):
        def call(*args, **kwargs):
            if not killed and len(calls) >= 3:
                killed.append(True)
                kill_one_worker(others)
                sum(range(1000))  # a signal's handler runs between two instructions
            return function(*args, **kwargs)

        return call

    calls, others = [], multiprocessing.active_children()  # of other tests
    step = Step.__call__

    def counted(self, *args, **kwargs):
        calls.append(1)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Step, "__call__", counted)
    if place == "step":
        monkeypatch.setattr(Step, "_agree", wrapped(Step._agree))
    elif place == "evaluation":
        monkeypatch.setattr(trainer, "evaluate", wrapped(trainer.evaluate))
    elif place == "checkpoint":
        monkeypatch.setattr(trainer, "save_checkpoint", wrapped(trainer.save_checkpoint))
    else:
        monkeypatch.setattr(trainer, "mixup", wrapped(trainer.mixup))
    options = ("train.iterations=4000", "train.num_workers=2", "save.every=4", "eval.every=4")
    with pytest.raises(UserError, match=r"data worker \d+ was killed by SIGKILL"):
        train(load_config(picture_recipe, options), tmp_path / "run")
    assert killed
    done = state_of(tmp_path / "run")["iteration"]
    assert done == len(calls) >= 3
    assert records(tmp_path / "run")[-1]["iteration"] == done


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("less", r"is after iteration 10, and the run ends after iteration 8 now \(the training data have"),
        ("more", "the training data have changed: 5 -> 6 samples"),
        ("eval", "the evaluation data have changed: 2 -> 1 samples"),
    ],
)
def test_data_that_changed_before_a_resume_are_named(picture_recipe, tmp_path, capsys, change, line):
    root = tmp_path / "pictures"
    shutil.copytree(picture_recipe.parent, root)
    options = (f"data.root={root}", "train.iterations=null", "train.epochs=4")
    config = load_config(root / "recipe.yml", options)  # 3 iterations an epoch, 12 in all
    with pytest.raises(Stopped):
        train(config, tmp_path / "run", stop=StopAfter(9))
    for part in ("input", "groundtruth"):
        if change == "less":
            (root / "train" / part / "4.png").unlink()
        elif change == "more":
            shutil.copy(root / "train" / part / "4.png", root / "train" / part / "5.png")
        else:
            (root / "val" / part / "1.png").unlink()
    capsys.readouterr()
    checkpoint = find_checkpoint(tmp_path / "run")
    if change == "less":
        with pytest.raises(UserError, match=line):
            train(config, tmp_path / "run", checkpoint)
        assert state_of(tmp_path / "run")["iteration"] == 10
        return
    train(config, tmp_path / "run", checkpoint)
    assert line in capsys.readouterr().out


@pytest.fixture
def damaged(picture_recipe, tmp_path):
    """The recipe on a copy of the pictures, of which one cannot be read; evaluation is whole."""
    root = tmp_path / "pictures"
    shutil.copytree(picture_recipe.parent, root)
    (root / "train/input/3.png").write_bytes(b"no picture")
    (root / "train/groundtruth/1.png").write_bytes((root / "train/groundtruth/1.png").read_bytes()[:200])
    return load_config(root / "recipe.yml", (f"data.root={root}", "eval.every=3")), root


def test_a_run_goes_on_without_an_unreadable_file_and_resumes_the_same(damaged, tmp_path, capsys):
    config, root = damaged
    train(config, tmp_path / "straight")
    text = capsys.readouterr().out
    assert text.count("unreadable, another sample takes its place") == 2
    assert f"(1 of 10): {root / 'train/'}" in text
    seen = state_of(tmp_path / "straight")["unreadable"]
    assert sorted(seen.values()) == [2, 2] or sum(seen.values()) >= 4
    with pytest.raises(Stopped):
        train(config, tmp_path / "stopped", stop=StopAfter(2))
    train(config, tmp_path / "stopped", find_checkpoint(tmp_path / "stopped"))
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")


def test_too_many_unreadable_files_stop_the_run(damaged, tmp_path):
    config = config_with(damaged[0], max_unreadable=1).model_copy(update={"seed": 1})
    with pytest.raises(UserError, match=r"2 training samples cannot be read, the last is .*repair or remove"):
        train(config, tmp_path / "run")
    # What was trained until then is kept: with a higher limit it goes on as if that had been there.
    patient = config_with(config, max_unreadable=9)
    train(patient, tmp_path / "straight")
    train(patient, tmp_path / "run", find_checkpoint(tmp_path / "run"))
    assert_same_run(tmp_path / "straight", tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_was_trained_is_kept_when_the_data_fail(picture_recipe, tmp_path, monkeypatch, workers):
    config = load_config(picture_recipe, ("save.every=6", f"train.num_workers={workers}"))
    train(config, tmp_path / "straight")
    sample = PairsTrain.sample

    def fails(self, index, rng):
        if copy.deepcopy(rng).random() == np.random.default_rng([0, 1, index]).random():  # in epoch 1
            raise RuntimeError("a bug")
        return sample(self, index, rng)

    monkeypatch.setattr(PairsTrain, "sample", fails)
    with pytest.raises(WorkerError, match="a bug"):
        train(config, tmp_path / "run")
    monkeypatch.undo()
    assert state_of(tmp_path / "run")["iteration"] == 3
    train(config, tmp_path / "run", find_checkpoint(tmp_path / "run"))
    assert_same_run(tmp_path / "straight", tmp_path / "run")


def test_an_unreadable_evaluation_file_is_an_error(damaged, tmp_path):
    config, root = damaged
    picture = root / "val/input/0.png"
    picture.write_bytes(picture.read_bytes()[:60])
    with pytest.raises(UserError, match=r"val/input/0\.png"):
        train(config, tmp_path / "run")
    # What was trained is kept, and a resumed run begins with the evaluation that failed.
    assert state_of(tmp_path / "run")["iteration"] == 3
    with pytest.raises(UserError, match=r"val/input/0\.png"):
        train(config, tmp_path / "run", find_checkpoint(tmp_path / "run"))
    assert [row["iteration"] for row in records(tmp_path / "run")] == [1, 2, 3]


def config_with(config, **train_options):
    return config.model_copy(update={"train": config.train.model_copy(update=train_options)})


# ---- numbers


@pytest.fixture
def poisoned(monkeypatch):
    """The objective gives NaN for the batches that hold a sample of these names."""
    names = {"2"}
    whole = Invertible.__call__

    def call(self, model, batch):
        losses = whole(self, model, batch)
        if names & set(batch["name"]):
            losses["loss"] = losses["loss"] * float("nan")
        return losses

    monkeypatch.setattr(Invertible, "__call__", call)
    return names


def test_a_non_finite_batch_is_skipped_counted_and_recorded(picture_recipe, poisoned, tmp_path):
    config = load_config(picture_recipe, ("train.on_nonfinite=skip",))
    train(config, tmp_path / "straight")
    rows = [json.loads(line) for line in (tmp_path / "straight/nonfinite.jsonl").read_text().splitlines()]
    assert state_of(tmp_path / "straight")["nonfinite"]["count"] == len(rows) >= 2
    assert all("2" in row["samples"] and row["losses"]["loss"] == "nan" for row in rows)
    left_out = {row["iteration"] for row in rows}
    for row in records(tmp_path / "straight"):
        assert ("loss" in row) == (row["phase"] == "train" and row["iteration"] not in left_out)
    with pytest.raises(Stopped):
        train(config, tmp_path / "stopped", stop=StopAfter(3))
    train(config, tmp_path / "stopped", find_checkpoint(tmp_path / "stopped"))
    assert_same_run(tmp_path / "straight", tmp_path / "stopped")
    texts = [(tmp_path / run / "nonfinite.jsonl").read_text() for run in ("straight", "stopped")]
    assert texts[0] == texts[1]


def test_a_non_finite_batch_stops_the_run_and_is_recorded(picture_recipe, poisoned, tmp_path):
    with pytest.raises(
        UserError, match=r"non-finite loss at iteration \d/6 .*samples .*2.*lower optimizer.lr"
    ):
        train(load_config(picture_recipe), tmp_path)
    assert "2" in json.loads((tmp_path / "nonfinite.jsonl").read_text())["samples"]


def test_nothing_but_non_finite_batches_stops_the_run(picture_recipe, poisoned, tmp_path, monkeypatch):
    poisoned.update("0134")
    monkeypatch.setattr(trainer, "MAX_CONSECUTIVE_SKIPS", 4)
    with pytest.raises(UserError, match=r"at iteration 4/6 .*4 in a row; training stopped"):
        train(load_config(picture_recipe, ("train.on_nonfinite=skip",)), tmp_path)


POISONED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from paddle_restore.cli.main import main
from paddle_restore.engine.objectives.invertible import Invertible
whole = Invertible.__call__
def call(self, model, batch):
    losses = whole(self, model, batch)
    return dict(losses, loss=losses["loss"] * float("nan")) if "2" in batch["name"] else losses
Invertible.__call__ = call
main("train")
"""


def test_two_processes_agree_on_what_they_leave_out(damaged, tmp_path):
    """One reads the bad files or gets the NaN, and both replace, skip and count the same as one process."""
    root = damaged[1]
    (tmp_path / "poisoned.py").write_text(POISONED)
    words = (tmp_path / "poisoned.py", "-c", root / "recipe.yml", "-o", f"data.root={root}")
    words += ("train.on_nonfinite=skip",)
    launch = ("-m", "paddle.distributed.launch", "--nproc_per_node", 2, "--log_dir", tmp_path / "log")
    command(*words, "--output_dir", tmp_path / "one")
    command(*launch, *words, "train.batch_size=1", "--output_dir", tmp_path / "two")
    rows = [[json.loads(li) for li in (tmp_path / n / "nonfinite.jsonl").open()] for n in ("one", "two")]
    assert [(r["iteration"], r["samples"]) for r in rows[0]] == [
        (r["iteration"], r["samples"]) for r in rows[1]
    ]
    one, two = (state_of(tmp_path / name) for name in ("one", "two"))
    assert one["nonfinite"] == two["nonfinite"]
    assert one["unreadable"] == two["unreadable"]
    one, two = (load_pdparams(tmp_path / name / "latest/model.pdparams") for name in ("one", "two"))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=0, atol=1e-6, err_msg=name)


# ---- disks


@contextmanager
def full_disk(size=50_000):
    """No file may grow beyond so many bytes: the system's own error in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_keeps_the_older_checkpoint_and_stops(picture_recipe, tmp_path):
    train(load_config(picture_recipe, ("train.iterations=2",)), tmp_path)
    before = arrays(tmp_path / "latest")
    config = load_config(picture_recipe, ("train.iterations=6", "save.every=1", "save.on_error=stop"))
    with full_disk(), pytest.raises(UserError, match=r"latest: checkpoint not written .*the last one stays"):
        train(config, tmp_path, tmp_path / "latest")
    assert state_of(tmp_path)["iteration"] == 2
    for name, value in arrays(tmp_path / "latest").items():
        np.testing.assert_array_equal(value, before[name])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_training_goes_on_until_the_disk_has_room_again(picture_recipe, tmp_path, monkeypatch, capsys):
    config = load_config(picture_recipe, ("save.every=1",))
    train(config, tmp_path / "straight")
    save, calls = paddle.save, []

    def scarce(state, path):
        calls.append(path)
        if 3 <= len(calls) <= 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(state, path)

    monkeypatch.setattr(paddle, "save", scarce)
    train(config, tmp_path / "full")
    monkeypatch.undo()
    text = capsys.readouterr().out
    assert (
        text.count("checkpoint not written (No space left on device); the last one stays; training goes on")
        == 4
    )
    assert_same_run(tmp_path / "straight", tmp_path / "full")


def test_the_state_does_not_name_a_best_model_that_could_not_be_written(
    picture_recipe, tmp_path, monkeypatch
):
    save = trainer.save_checkpoint

    def no_best(folder, *rest):
        if folder.name == "best_model":
            raise UserError(f"{folder}: checkpoint not written (No space left on device)")
        save(folder, *rest)

    monkeypatch.setattr(trainer, "save_checkpoint", no_best)
    train(load_config(picture_recipe, ("train.iterations=2",)), tmp_path)
    assert state_of(tmp_path)["best"] is None
    monkeypatch.undo()
    train(load_config(picture_recipe, ("train.iterations=3",)), tmp_path, tmp_path / "latest")
    assert state_of(tmp_path)["best"]["iteration"] == 3
    assert (tmp_path / "best_model").is_dir()


def test_the_last_checkpoint_must_be_written(picture_recipe, tmp_path):
    with full_disk(), pytest.raises(UserError, match="checkpoint not written"):
        train(load_config(picture_recipe), tmp_path)


def test_a_log_that_cannot_be_written_is_one_warning(tmp_path, capsys):
    (tmp_path / "train.log").symlink_to("/dev/full")
    log = RunLog(tmp_path, 9)
    for iteration in (1, 2):
        log.text("more")
        log.record("metrics.jsonl", iteration, loss=1.0)
    log.close()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert capsys.readouterr().err.count("the log cannot be written") == 1


def test_records_wait_for_a_disk_that_is_full(tmp_path, capsys):
    """None is lost or cut, in metrics.jsonl and for VisualDL, and a resumed run reads them."""
    log = RunLog(tmp_path, 99)
    picture = np.zeros((8, 8, 3), np.uint8)
    for iteration in range(1, 61):
        with full_disk(1000) if 20 <= iteration < 40 else nullcontext():
            log.scalars("train", iteration, {"loss": iteration, "lr": 0.5})
            log.picture("eval/0", iteration, picture)
    log.close()
    assert capsys.readouterr().err.count("the log cannot be written") == 1
    for done in (60, 55):
        rows = [row["iteration"] for row in records(tmp_path)]
        assert rows == list(range(1, len(rows) + 1))
        assert board(tmp_path) == sorted(
            (f"train/{name}", row["iteration"], row[name])
            for row in records(tmp_path)
            for name in ("loss", "lr")
        )
        RunLog(tmp_path, 99, done).close()
    assert len(records(tmp_path)) == 55


def test_a_damaged_visualdl_file_is_cut_where_it_is_damaged(tmp_path):
    log = RunLog(tmp_path, 9)
    for iteration in (1, 2, 3):
        log.scalars("train", iteration, {"loss": 1.0})
    log.close()
    file = tmp_path / "vdl/vdlrecords.log"
    whole = file.read_bytes()
    for damage in (b"\xff" * 16, b"\x05" + b"\0" * 7 + b"aaaaa", b"\0" * 8, b"\x05"):
        file.write_bytes(whole + damage + whole)
        RunLog(tmp_path, 9, 3).close()
        assert file.read_bytes() == whole
    file.write_bytes(b"")
    log = RunLog(tmp_path, 9)
    log.scalars("train", 1, {"loss": 1.0})
    assert board(tmp_path) == [("train/loss", 1, 1.0)]


def test_only_the_newest_kept_checkpoints_stay(picture_recipe, tmp_path):
    train(load_config(picture_recipe, ("save.keep_every=1", "save.keep_last=2")), tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*iter_*")) == ["iter_5", "iter_6"]
