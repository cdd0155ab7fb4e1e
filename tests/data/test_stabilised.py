"""Stabilised raw planes made from clean photographs."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.data.datasets.stabilised import StabilisedEval, StabilisedOptions, StabilisedTrain
from paddle_restore.data.image import write_image
from paddle_restore.data.stabilise import stabilise, stabilised_mean
from paddle_restore.data.synthetic.raw_frames import RawExposure, expose_planes
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec

MOSAIC = ModelSpec("net", "bayer", 1, 1, 0, "", "", "", output="mosaic")
DEVELOPING = ModelSpec("net", "bayer", 2, 1, 0, "", "", "")


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for index, size in enumerate([(90, 120), (300, 200)]):
            smooth = np.linspace(0, 255, size[1])[None, :, None] * rng.random(3)
            write_image(
                tmp_path / split / f"{index}.png", np.broadcast_to(smooth, (*size, 3)).astype(np.uint8)
            )
    return tmp_path


def test_training_patches_have_noise_of_deviation_one(root):
    dataset = StabilisedTrain(StabilisedOptions(root=root, crop=48, misjudged=0), MOSAIC)
    deviations = []
    for index in range(20):
        first, again = (dataset.sample(index, np.random.default_rng([1, index])) for _ in range(2))
        for key in ("input", "target"):
            assert first[key].shape == (4, 48, 48)
            assert first[key].dtype == np.float32
            np.testing.assert_array_equal(first[key], again[key])
        deviations.append((first["input"] - first["target"]).std())
    # Below one where values are clipped at white or there are few electrons and hardly any read noise.
    assert np.median(deviations) == pytest.approx(1, abs=0.03)
    assert min(deviations) > 0.3
    assert max(deviations) < 1.2


@pytest.mark.parametrize(("electrons", "read"), [(4000, 3), (60, 3), (5, 1), (0.5, 2), (2000, 30)])
def test_the_target_is_the_mean_of_the_noisy_planes(electrons, read):
    gain, level = 0.01 / electrons, 0.01
    exposure = RawExposure(gain, read * gain, 0.2 * read * gain, steps=65535)
    signal = np.full((4, 300, 300), level, np.float32)
    noisy = expose_planes(signal, exposure, np.random.default_rng(0))
    assert noisy.mean() == pytest.approx(level, rel=0.03)
    assert noisy.var() == pytest.approx(gain * level + exposure.variance, rel=0.03)
    target = stabilised_mean(signal, gain, exposure.variance)
    assert stabilise(noisy, gain, exposure.variance).mean() == pytest.approx(float(target.mean()), abs=0.01)


def test_red_and_green_of_a_row_share_its_noise():
    exposure = RawExposure(1e-6, 0, 0.01, steps=16383)
    noisy = expose_planes(np.full((4, 200, 100), 0.3, np.float32), exposure, np.random.default_rng(0))
    red, green, blue, second_green = noisy.mean(2)
    assert np.corrcoef(red, green)[0, 1] > 0.95
    assert np.corrcoef(blue, second_green)[0, 1] > 0.95
    assert abs(np.corrcoef(red, blue)[0, 1]) < 0.3


def test_values_below_black_are_kept_and_white_is_clipped():
    exposure = RawExposure(1e-3, 0.02, 0, steps=1023)
    rng = np.random.default_rng(0)
    dark = expose_planes(np.zeros((4, 50, 50), np.float32), exposure, rng)
    assert (dark < 0).mean() == pytest.approx(0.5, abs=0.05)
    assert expose_planes(np.full((4, 50, 50), 0.99, np.float32), exposure, rng).max() == 1


def test_evaluation_patches_are_fixed_and_can_be_developed(root):
    dataset = StabilisedEval(StabilisedOptions(root=root, eval_crop=48, eval_patches=2), MOSAIC)
    assert len(dataset) == 4
    for index in range(4):
        first, again = dataset.sample(index), dataset.sample(index)
        np.testing.assert_array_equal(first["input"], again["input"])
        picture = first["develop"](first["target"])
        assert picture.shape == (3, 48, 48)
        assert 0 <= picture.min() <= picture.max() <= 1
        assert picture.max() > 0.9


def test_a_network_of_another_kind_is_refused(root):
    with pytest.raises(UserError, match="does not restore mosaics"):
        StabilisedTrain(StabilisedOptions(root=root), DEVELOPING)
