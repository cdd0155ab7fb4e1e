"""Patches made from clean photographs, and noisy pictures without clean ones."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.data.datasets.noisy import NoisyEval, NoisyOptions, NoisyTrain
from paddle_restore.data.datasets.photographs import (
    PhotographsEval,
    PhotographsOptions,
    PhotographsTrain,
    draw_scene,
)
from paddle_restore.data.image import read_image, write_image
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec

SRGB = ModelSpec("net", "srgb", 1, 1, 0, "", "", "")
RAW = ModelSpec("net", "bayer", 2, 1, 0, "", "", "")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for split, sizes in {"train": [(90, 120), (300, 200)], "val": [(400, 300)]}.items():
        for index, size in enumerate(sizes):
            write_image(tmp_path / split / f"{index}.png", rng.integers(0, 256, (*size, 3), np.uint8))
    return tmp_path


def test_training_patches_follow_from_the_generator(root):
    dataset = PhotographsTrain(PhotographsOptions(root=root, crop=64, epoch=12), SRGB)
    assert len(dataset) == 12
    for index in range(12):
        first, again = (dataset.sample(index, np.random.default_rng(index)) for _ in range(2))
        for key in ("input", "target"):
            assert first[key].shape == (3, 64, 64)
            assert first[key].dtype == np.float32
            assert first[key].flags.c_contiguous
            np.testing.assert_array_equal(first[key], again[key])
    other = dataset.sample(0, np.random.default_rng(99))
    assert (other["target"] != dataset.sample(0, np.random.default_rng(0))["target"]).any()


def test_evaluation_patches_are_fixed_and_of_the_other_folder(root):
    options = PhotographsOptions(root=root, eval_crop=96, eval_patches=3)
    dataset = PhotographsEval(options, SRGB)
    assert len(dataset) == 3
    for index in range(3):
        first, again = dataset.sample(index), dataset.sample(index)
        assert first["input"].shape == (3, 96, 96)
        np.testing.assert_array_equal(first["input"], again["input"])


def test_a_photograph_smaller_than_a_patch_is_mirrored(root):
    dataset = PhotographsTrain(PhotographsOptions(root=root, crop=256, drawn=0), SRGB)
    assert dataset.sample(0, np.random.default_rng(1))["input"].shape == (3, 256, 256)


def test_mistakes_are_one_line(root):
    with pytest.raises(UserError, match="reads raw files"):
        PhotographsTrain(PhotographsOptions(root=root), RAW)
    with pytest.raises(UserError, match="no such file or folder"):
        PhotographsTrain(PhotographsOptions(root=root, train_folder="nowhere"), SRGB)
    write_image(root / "train/deep.png", np.zeros((200, 200, 3), np.uint16))
    with pytest.raises(UserError, match=r"deep\.png.*16 bits"):
        PhotographsTrain(PhotographsOptions(root=root), SRGB)


def test_drawn_scenes_differ():
    scenes = [draw_scene(80, np.random.default_rng(seed)) for seed in range(20)]
    for scene in scenes:
        assert scene.shape == (80, 80, 3)
        assert scene.dtype == np.uint8
    assert len({scene.tobytes() for scene in scenes}) == 20


def test_noisy_pictures_alone(root):
    options = NoisyOptions(root=root, train_folder="train", crop=64, repeat=3)
    dataset = NoisyTrain(options, SRGB)
    assert len(dataset) == 6
    sample = dataset.sample(5, np.random.default_rng(0))
    assert sample["name"] == "1"
    assert sample["input"].shape == (3, 64, 64)
    np.testing.assert_array_equal(sample["input"], sample["target"])
    evaluated = NoisyEval(options, SRGB)
    assert len(evaluated) == 2
    assert "no clean pictures" in evaluated.note
    picture = read_image(root / "train/0.png").transpose(2, 0, 1) / 255
    np.testing.assert_allclose(evaluated.sample(0)["input"], picture, atol=1e-6)
    with pytest.raises(UserError, match="smaller than the crop"):
        NoisyTrain(NoisyOptions(root=root, train_folder="train", crop=256), SRGB).sample(
            0, np.random.default_rng(0)
        )


def test_noisy_pictures_are_measured_on_pairs_where_there_are_some(root):
    for folder in ("Noisy", "GT"):
        write_image(root / "pairs" / folder / "a.png", np.full((40, 40, 3), 9, np.uint8))
    options = NoisyOptions(root=root, train_folder="train", eval_folder="pairs")
    evaluated = NoisyEval(options, SRGB)
    assert (len(evaluated), evaluated.sample(0)["name"], evaluated.note) == (1, "a", "")
