"""Noise on the fly: its variance, and training without short exposures."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

from paddle_restore.data.datasets.raw_pairs import RawPairsEval, RawPairsOptions, RawPairsTrain
from paddle_restore.data.datasets.sid import SIDOptions, SIDTrain
from paddle_restore.data.mosaic import XTRANS, RawImage
from paddle_restore.data.synthetic.noise import (
    NoiseOptions,
    SensorNoise,
    ShortExposures,
    add_noise,
    load_camera,
    measure,
)
from paddle_restore.errors import UserError
from paddle_restore.models import model_spec
from paddle_restore.options import validate
from tests.conftest import ROOT

CAMERA = ROOT / "configs/cameras/sony_a7s2.yml"


@pytest.mark.parametrize("ratio", [100, 300])
@pytest.mark.parametrize("level", [0.1, 0.4, 0.9])
def test_the_variance_is_the_cameras_at_that_iso_and_ratio(level, ratio):
    """The file's own levels (here 12 bit) are not the camera's; saturation is what they share."""
    camera = load_camera(CAMERA)
    long = RawImage(np.full((3000, 100), 200 + round(level * 3800), np.uint16), "RGGB", (200.0,) * 4, 4000.0)
    made, drawn = ShortExposures(NoiseOptions(camera=CAMERA, ratio=ratio, iso=3200)).make(
        long, np.random.default_rng(0)
    )
    assert drawn == ratio
    assert (made.black_level, made.white_level) == ((512.0,) * 4, 16383.0)
    signal = level * (16383 - 512) / ratio
    dn = made.mosaic.astype(float) - 512
    assert dn.mean() == pytest.approx(signal, abs=0.1)
    assert dn.var() == pytest.approx(camera.noise(3200).variance(signal), rel=0.03)


def test_measuring_gives_back_the_noise_that_was_made():
    noise, rng = SensorNoise(gain=1.7, read=2.5, row=0.8), np.random.default_rng(0)

    def pair(level, size=(800, 500)):
        return tuple(add_noise(np.full(size, float(level)), noise, rng) for _ in range(2))

    found = measure([pair(level) for level in (20, 100, 400, 900)], pair(0, (3000, 500)))
    assert found.gain == pytest.approx(1.7, rel=0.02)
    assert found.read == pytest.approx(2.5, rel=0.02)
    assert found.row == pytest.approx(0.8, rel=0.05)


def test_ranges_are_drawn_log_uniformly_and_the_files_iso_is_the_default():
    long = RawImage(np.full((12, 12), 900, np.uint16), XTRANS, (512.0,) * 4, 16383.0, iso=1600.0)
    shorts = ShortExposures(NoiseOptions(camera=CAMERA, ratio=(100, 300)))
    made = [shorts.make(long, np.random.default_rng(seed)) for seed in range(300)]
    ratios = np.array([ratio for _, ratio in made])
    assert 100 <= ratios.min() < 110 < 280 < ratios.max() <= 300
    assert np.median(ratios) == pytest.approx((100 * 300) ** 0.5, rel=0.1)
    assert {raw.iso for raw, _ in made} == {1600.0}
    with pytest.raises(UserError, match=r"does not say its ISO; set data.noise.iso"):
        shorts.make(RawImage(long.mosaic, XTRANS, (512.0,) * 4, 16383.0), np.random.default_rng(0))


@pytest.mark.parametrize("ratio", [[300, 100], [0, 5], [1, 2, 3], "many"])
def test_bad_ranges_are_one_line(ratio):
    with pytest.raises(UserError, match=r"data.noise.*ratio") as caught:
        validate(NoiseOptions, {"camera": str(CAMERA), "ratio": ratio}, "a.yml", "data.noise")
    assert "\n" not in str(caught.value)


@pytest.fixture
def longs(sid_tree, tmp_path):
    """SID's lists and long exposures; no short file is there."""
    shutil.copytree(sid_tree / "Sony/long", tmp_path / "Sony/long")
    for name in ("Sony_train_list.txt", "Sony_test_list.txt"):
        shutil.copy(sid_tree / name, tmp_path)
    return tmp_path


def test_sid_trains_without_its_short_files(longs):
    lists = {"train_list": "Sony_train_list.txt", "eval_list": "Sony_test_list.txt", "crop": 32}
    noise = NoiseOptions(camera=CAMERA, ratio=(10, 30), iso=400)
    data = SIDTrain(SIDOptions(root=longs, noise=noise, **lists), model_spec("sid_unet"))
    first, again = (data.sample(1, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first["input"], again["input"])
    assert first["name"] == "00002_00_10s"
    assert 10 <= first["ratio"] <= 30
    green = first["input"][1]
    target = first["target"][1].reshape(32, 2, 32, 2).mean((1, 3))
    ranks = [np.argsort(np.argsort(values.ravel())) for values in (green, target)]
    assert np.corrcoef(*ranks)[0, 1] > 0.7


def test_own_long_exposures_train_and_evaluate_alone(longs):
    names = sorted(path.name for path in (longs / "Sony/long").iterdir())
    with (longs / "own.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["long"], *([f"Sony/long/{name}"] for name in names)])
    lists = {"train_list": "own.csv", "eval_list": "own.csv", "crop": 32}
    noise = NoiseOptions(camera=CAMERA, ratio=50, iso=800)
    options = RawPairsOptions(root=longs, noise=noise, **lists)
    spec = model_spec("sid_unet")
    assert RawPairsTrain(options, spec).sample(0, np.random.default_rng(0))["ratio"] == 50
    sample, again = (RawPairsEval(options, spec).sample(1) for _ in range(2))
    np.testing.assert_array_equal(sample["input"], again["input"])
    assert sample["baseline"].shape == sample["target"].shape
    # The preview is the target with noise and coarse pixels.
    assert np.corrcoef(sample["baseline"].ravel(), sample["target"].ravel())[0, 1] > 0.7
    with pytest.raises(UserError, match=r"own.csv:2: names no short"):
        RawPairsEval(RawPairsOptions(root=longs, **lists), spec)
