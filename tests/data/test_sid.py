"""SID lists, samples and ratios."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.datasets.sid import SIDEval, SIDOptions, SIDTrain
from paddle_restore.data.matching import SIDPair, match_target, read_list
from paddle_restore.data.mosaic import network_input
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.errors import UserError
from paddle_restore.models import model_spec


def options(root: Path, **more) -> SIDOptions:
    lists = {"train_list": "Sony_train_list.txt", "eval_list": "Sony_test_list.txt", "crop": 32}
    return SIDOptions(root=root, **{**lists, **more})


@pytest.mark.parametrize(
    ("short", "long", "group"),
    [("0.1", "10", "x100"), ("0.04", "10", "x250"), ("0.033", "10", "x300"), ("0.1", "30", "x300")],
)
def test_ratio_comes_from_the_names(short, long, group):
    pair = SIDPair(Path(f"a/00001_00_{short}s.ARW"), Path(f"b/00001_00_{long}s.ARW"))
    assert pair.group == group
    assert pair.ratio() <= 300


def test_the_authors_lists_parse(shared, tmp_path):
    lines = (shared / "data/sid_lists/Sony_test_list.txt").read_text().splitlines()
    for line in lines:
        for word in line.split()[:2]:
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    (tmp_path / "list.txt").write_text("\n".join(lines))
    pairs = read_list(tmp_path, "list.txt")
    assert len(pairs) == 598
    assert {pair.group for pair in pairs} == {"x100", "x250", "x300"}


def test_an_epoch_visits_every_scene_once_with_a_random_exposure(sid_tree):
    data = SIDTrain(options(sid_tree), model_spec("sid_unet"))
    assert len(data) == 3
    names = {data.sample(0, np.random.default_rng(seed))["name"] for seed in range(20)}
    assert names == {f"00001_00_{seconds}s" for seconds in ("0.1", "0.04", "0.033")}


def test_input_and_target_show_the_same_place(sid_tree):
    """The amplified green is bright where the target is, wherever the crop falls."""
    data = SIDTrain(options(sid_tree), model_spec("sid_unet"))
    for index, seed in [(0, 1), (1, 2), (1, 3), (2, 4)]:
        sample = data.sample(index, np.random.default_rng(seed))
        assert sample["input"].shape == (4, 32, 32)
        assert sample["target"].shape == (3, 64, 64)
        green = sample["input"][1]
        target = sample["target"][1].reshape(32, 2, 32, 2).mean((1, 3))
        # A tone curve lies between them, so compare ranks.
        ranks = [np.argsort(np.argsort(values.ravel())) for values in (green, target)]
        assert np.corrcoef(*ranks)[0, 1] > 0.75  # noise at x300 costs the rest


def test_samples_follow_from_the_generator(sid_tree):
    data = SIDTrain(options(sid_tree), model_spec("sid_unet"))
    first, again, other = (data.sample(1, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first["input"], again["input"])
    assert not np.array_equal(first["input"], other["input"])


def test_evaluation_is_whole_frames_amplified_by_the_ratio(sid_tree):
    data = SIDEval(options(sid_tree), model_spec("sid_unet"))
    assert len(data) == 6
    sample = data.sample(0)
    raw = read_raw(sid_tree / "Sony/short/10003_00_0.1s.ARW")
    np.testing.assert_array_equal(sample["input"], raw.aligned().packed(100.0))
    long = develop(sid_tree / "Sony/long/10003_00_10s.ARW")[:94, :110]
    np.testing.assert_allclose(sample["target"], long.transpose(2, 0, 1) / 65535, atol=1e-6)
    assert sample["baseline"].mean() == pytest.approx(sample["target"].mean(), rel=0.05)
    assert sample["group"] == "x100"


def test_misaligned_scenes_do_not_count_and_the_note_says_so(sid_tree):
    data = SIDEval(options(sid_tree), model_spec("sid_unet"))
    assert [data.sample(i)["counted"] for i in range(6)] == [True] * 3 + [False] * 3
    assert "10045" in data.note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_list": "none.txt"}, "none.txt: no such list"),
        ({"crop": 100}, "smaller than the crop of 100"),
    ],
)
def test_mistakes_are_one_line(sid_tree, change, message):
    with pytest.raises(UserError, match=message):
        SIDTrain(options(sid_tree, **change), model_spec("sid_unet")).sample(0, np.random.default_rng(0))


def test_a_list_that_names_a_missing_file_says_where(sid_tree, tmp_path):
    (tmp_path / "list.txt").write_text(
        "./Sony/short/00009_00_0.1s.ARW ./Sony/long/00009_00_10s.ARW ISO200 F8\n"
    )
    with pytest.raises(UserError, match=r"list.txt:1: names .*00009_00_0.1s.ARW, which does not exist"):
        read_list(tmp_path, "list.txt")


def test_another_sensor_is_refused(sid_tree):
    with pytest.raises(UserError, match="the network reads xtrans files, and this is a bayer one"):
        SIDTrain(options(sid_tree), model_spec("sid_unet_xtrans")).sample(0, np.random.default_rng(0))


def test_targets_match_by_name_or_scene():
    targets = [Path("long/10003_00_10s.ARW"), Path("long/a.png")]
    assert match_target(Path("short/10003_01_0.1s.ARW"), targets) == targets[0]
    assert match_target(Path("short/a.dng"), targets) == targets[1]
    with pytest.raises(UserError, match="no file in long has its name"):
        match_target(Path("short/b.dng"), targets)


def test_the_ratio_can_be_estimated_from_the_dark_frame(sid_tree):
    raw = read_raw(sid_tree / "Sony/short/10003_00_0.1s.ARW")
    for spec in (model_spec("sid_unet"), model_spec("lamba")):
        data = SIDEval(options(sid_tree, ratio="auto", amplifier_m=5), spec)
        sample = data.sample(0)
        wanted = estimate_ratio(*raw.histogram(), m=5)
        assert sample["ratio"] == pytest.approx(wanted, rel=1e-6)
        np.testing.assert_array_equal(sample["input"], network_input(raw.aligned(), spec.input, wanted))
        assert sample["group"] == "x100"  # the tables stay those of the exposures
    train = SIDTrain(options(sid_tree, ratio="auto"), model_spec("sid_unet"))
    sample = train.sample(0, np.random.default_rng(0))
    # Of the whole frame, not of the crop.
    short = read_raw(sid_tree / f"Sony/short/{sample['name']}.ARW")
    assert sample["ratio"] == pytest.approx(estimate_ratio(*short.histogram()), rel=1e-6)


def test_the_odds_of_flips_are_the_recipes(sid_tree):
    spec = model_spec("sid_unet")
    plain = SIDTrain(options(sid_tree, flips=(0, 0, 0)), spec).sample(1, np.random.default_rng(3))["input"]
    rows = SIDTrain(options(sid_tree, flips=(1, 0, 0)), spec).sample(1, np.random.default_rng(3))["input"]
    columns = SIDTrain(options(sid_tree, flips=(0, 1, 0)), spec).sample(1, np.random.default_rng(3))["input"]
    np.testing.assert_array_equal(rows, plain[:, ::-1])
    np.testing.assert_array_equal(columns, plain[:, :, ::-1])


@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1)])
def test_a_mosaic_begins_with_red_however_it_is_flipped(sid_tree, flips):
    """Each colour of the mosaic still goes with the same colour of the target."""
    data = SIDTrain(options(sid_tree, flips=flips), model_spec("lamba"))
    sample = data.sample(2, np.random.default_rng(5))
    mosaic, target = sample["input"][0], sample["target"]
    assert target.shape == (3, 32, 32)
    raw = read_raw(sid_tree / f"Sony/short/{sample['name']}.ARW").aligned()
    assert np.isin(mosaic[::2, ::2], raw.normalised(sample["ratio"])[0, ::2, ::2]).all()
    # and lies where the target shows it
    shown = np.argsort(np.argsort(target[0, ::2, ::2].ravel()))
    assert np.corrcoef(np.argsort(np.argsort(mosaic[::2, ::2].ravel())), shown)[0, 1] > 0.75
