"""Folders of noisy and clean pictures: matched by name, cropped alike, mistakes listed."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.data.datasets.pairs import PairsEval, PairsOptions, PairsTrain
from paddle_restore.data.image import read_image, to_float, write_image
from paddle_restore.data.matching import PAIR_FOLDERS, match_pairs
from paddle_restore.data.resize import shrink
from paddle_restore.errors import UserError
from paddle_restore.metrics import evaluate
from paddle_restore.models.spec import ModelSpec

SRGB = ModelSpec("net", "srgb", 1, 1, 0, "", "", "")


def write_pairs(folder, sizes, spelling=("input", "groundtruth")):
    """The noisy picture is the clean one's complement, so that a test sees which pixel is where."""
    rng = np.random.default_rng(0)
    for name, (height, width) in sizes.items():
        clean = rng.integers(0, 256, (height, width, 3), np.uint8)
        write_image(folder / spelling[0] / f"{name}.png", 255 - clean)
        write_image(folder / spelling[1] / f"{name}.png", clean)
    return folder


def options(root, **values):
    return PairsOptions(root=root, **{"train_folder": ".", "eval_folder": ".", "crop": 16, **values})


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path, {"b": (24, 40), "a": (32, 32), "c": (33, 35)})


@pytest.mark.parametrize("spelling", [*PAIR_FOLDERS])
def test_both_spellings(tmp_path, spelling):
    write_pairs(tmp_path, {"a": (20, 20)}, spelling)
    (pair,) = match_pairs(tmp_path)
    assert (pair.noisy.parent.name, pair.clean.parent.name, pair.size) == (*spelling, (20, 20))


def test_names_match_not_positions(pairs):
    write_image(pairs / "groundtruth/d.jpg", np.zeros((8, 8, 3)))
    write_image(pairs / "input/d.png", np.zeros((8, 8, 3)))
    found = match_pairs(pairs)
    assert [(p.noisy.stem, p.clean.stem) for p in found] == [(n, n) for n in "abcd"]
    assert found[-1].clean.name == "d.jpg"


def test_pictures_without_a_partner_are_listed(pairs):
    write_image(pairs / "groundtruth/x.png", np.zeros((8, 8, 3)))
    (pairs / "input/b.png").rename(pairs / "input/y.png")
    with pytest.raises(UserError, match="3 pictures have no partner") as error:
        match_pairs(pairs)
    for name in ("input/y.png", "groundtruth/x.png", "groundtruth/b.png"):
        assert name in str(error.value)


def test_pairs_of_two_sizes_are_listed(pairs):
    write_image(pairs / "input/b.png", np.zeros((24, 41, 3)))
    write_image(pairs / "groundtruth/c.png", np.zeros((10, 35, 3)))
    with pytest.raises(UserError, match=r"2 pairs differ in size: .*b.png 41x24.*40x24.*c.png 35x33.*35x10"):
        match_pairs(pairs)


def test_pictures_smaller_than_the_crop_are_named(pairs):
    with pytest.raises(UserError, match=r"smaller than the crop of 30: .*b.png 40x24; lower data.crop"):
        PairsTrain(options(pairs, crop=30), SRGB)
    assert len(PairsTrain(options(pairs), SRGB, crop=24)) == 3


def test_a_folder_without_pairs_says_what_is_expected(tmp_path):
    (tmp_path / "input").mkdir()
    with pytest.raises(UserError, match="expected input/ and groundtruth/ or Noisy/ and GT/"):
        match_pairs(tmp_path)


def test_raw_networks_are_refused(pairs):
    with pytest.raises(UserError, match="reads raw files"):
        PairsEval(options(pairs), ModelSpec("net", "bayer", 2, 1, 0, "", "", ""))


def test_crops_show_the_same_place_and_follow_from_the_generator(pairs):
    data = PairsTrain(options(pairs), SRGB)
    for seed in range(8):
        sample = data.sample(2, np.random.default_rng(seed))
        assert sample["input"].shape == sample["target"].shape == (3, 16, 16)
        assert sample["input"].dtype == np.float32
        np.testing.assert_allclose(sample["input"] + sample["target"], 1, atol=1e-6)
        again = data.sample(2, np.random.default_rng(seed))
        np.testing.assert_array_equal(sample["input"], again["input"])


def test_augmentation_gives_the_eight_orientations_and_can_be_off(tmp_path):
    write_pairs(tmp_path, {"a": (16, 16)})
    whole = to_float(read_image(tmp_path / "groundtruth/a.png")).transpose(2, 0, 1)
    wanted = {np.rot90(w, k, (1, 2)).tobytes() for w in (whole, whole[:, ::-1]) for k in range(4)}
    for augment, count in ((True, 8), (False, 1)):
        data = PairsTrain(options(tmp_path, augment=augment), SRGB)
        seen = {data.sample(0, np.random.default_rng(seed))["target"].tobytes() for seed in range(80)}
        assert len(seen) == count
        assert seen <= wanted


def test_limit_and_evaluation_of_whole_pictures(pairs):
    data = PairsEval(options(pairs, limit=2), SRGB)
    assert len(data) == 2
    sample = data.sample(1)
    assert (sample["name"], sample["input"].shape) == ("b", (3, 24, 40))
    np.testing.assert_allclose(sample["input"] + sample["target"], 1, atol=1e-6)


def test_low_resolution_targets_on_the_fly_are_those_of_the_folder(pairs):
    """Bitwise, at every border and orientation: preparing them changes the time only."""
    wanted = options(pairs, lq=4)
    made = PairsTrain(wanted, SRGB)
    for pair in made.pairs:
        write_image(pairs / "LQ" / f"{pair.name}.png", shrink(read_image(pair.clean), 4))
    stored = PairsTrain(wanted, SRGB)
    assert all(pair.lq for pair in stored.pairs)
    assert not any(pair.lq for pair in made.pairs)
    for index in range(3):
        for seed in range(12):
            a, b = (data.sample(index, np.random.default_rng(seed)) for data in (made, stored))
            assert a["lq"].shape == (3, 4, 4)
            np.testing.assert_array_equal(a["lq"], b["lq"])
            np.testing.assert_array_equal(a["target"], b["target"])


def test_low_resolution_mistakes(pairs):
    with pytest.raises(UserError, match=r"not divisible by data\.lq"):
        PairsTrain(options(pairs, lq=3), SRGB)
    write_image(pairs / "LQ/a.png", np.zeros((4, 4, 3)))
    with pytest.raises(UserError, match=r"LQ.a.png: has 4x4 pixels, 1/4 of .* has 8x8"):
        PairsTrain(options(pairs, lq=4), SRGB).sample(0, np.random.default_rng(0))


def test_the_real_pairs(shared):
    """The published folders: their noisy PSNR, and InvDN's own LQ files bit by bit."""
    root = shared / "data/sidd_mini"
    real = PairsOptions(root=root, train_folder="train_mini", eval_folder="val_mini", lq=4)
    data = PairsEval(real, SRGB)
    scores = []
    for index in range(len(data)):
        pictures = [data.sample(index)[k].transpose(1, 2, 0) for k in ("input", "target")]
        scores.append(evaluate(*pictures, ("psnr",))["psnr"])
    assert np.mean(scores) == pytest.approx(23.20, abs=0.005)
    for pair in PairsTrain(real, SRGB).pairs[:3]:
        np.testing.assert_array_equal(shrink(read_image(pair.clean), 4), read_image(pair.lq))
    other = PairsOptions(root=shared / "data/sidd_mini2", train_folder="train_mini")
    assert len(PairsTrain(other, SRGB)) == 10


def test_a_folder_is_split_by_a_fraction(tmp_path):
    names = [f"{n:02d}" for n in range(20)]
    write_pairs(tmp_path / "all", dict.fromkeys(names, (40, 40)), ("lq", "gt"))
    options = PairsOptions(root=tmp_path, train_folder="all", crop=16, val_fraction=0.2)
    train, held_out = PairsTrain(options, SRGB), PairsEval(options, SRGB)
    assert (len(train), len(held_out)) == (16, 4)
    found = [[pair.name for pair in part.pairs] for part in (train, held_out)]
    assert sorted(found[0] + found[1]) == names
    assert found[0] == sorted(found[0])
    # One more pair moves at most one of the others.
    write_pairs(tmp_path / "all", {"99": (40, 40)}, ("lq", "gt"))
    again = [pair.name for pair in PairsEval(options, SRGB).pairs]
    assert len(set(found[1]) - set(again)) <= 1
    limited = options.model_copy(update={"limit": 3})
    assert (len(PairsTrain(limited, SRGB)), len(PairsEval(limited, SRGB))) == (3, 3)


def test_one_pair_cannot_be_split(tmp_path):
    write_pairs(tmp_path / "train", {"a": (40, 40)})
    options = PairsOptions(root=tmp_path, crop=16, val_fraction=0.5)
    with pytest.raises(UserError, match="1 pair cannot be split"):
        PairsTrain(options, SRGB)
