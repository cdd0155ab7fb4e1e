import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data as photographs

from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import read_raw
from paddle_restore.data.sensor_noise import (
    SensorNoise,
    camera_noise,
    estimate_noise,
    noise_of,
    read_noise_profile,
)
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.errors import UserError

MATRIX = (0.5838, -0.1430, -0.0246, -0.3497, 1.1477, 0.2297, -0.0748, 0.1885, 0.5778)
# Electrons at saturation, read noise in electrons, black and white level.
SENSORS = ((60_000, 2.4, 512, 16383), (16_000, 1.8, 255, 4095), (8_000, 1.6, 64, 1023))


def scene(name):
    """A photograph as a camera's linear colours, softened as by a lens."""
    photo = getattr(photographs, name)()
    photo = (photo[0] if isinstance(photo, tuple) else photo)[..., :3].astype(np.float32) / 255
    height, width = (size // 2 * 2 for size in photo.shape[:2])
    return cv2.GaussianBlur(radiance(photo[:height, :width], MATRIX, (2.0, 1.0, 1.6)), (0, 0), 1.0)


def exposed(light, sensor, iso, ratio=1.0, pattern="RGGB", seed=0):
    """Return a noisy frame, and its true gain and variance."""
    electrons, read, black, white = sensor
    gain = (white - black) / electrons * iso / 100
    read = read * gain
    rng = np.random.default_rng(seed)
    signal = mosaic(light, pattern) * ((white - black) / ratio)
    dn = rng.poisson(signal / gain) * gain + read * rng.standard_normal(signal.shape) + black
    raw = RawImage(np.clip(np.rint(dn), 0, white).astype(np.uint16), pattern, (black,) * 4, white, iso=iso)
    return raw, gain / (white - black), (read**2 + 1 / 12) / (white - black) ** 2


def test_estimates_of_textured_frames_are_within_ten_per_cent_in_nine_of_ten():
    errors = []
    scenes = [scene(name) for name in ("stereo_motorcycle", "astronaut", "coffee", "rocket")]
    for number, light in enumerate(scenes):
        for sensor in SENSORS:
            for iso, ratio in ((800, 1), (3200, 4), (6400, 1), (12800, 2)):
                raw, gain, variance = exposed(light, sensor, iso, ratio, "GBRG" if number else "RGGB", number)
                found = estimate_noise(raw)
                errors.append((found.gain[1] / gain - 1, (found.variance[1] / variance) ** 0.5 - 1))
    within = (np.abs(errors) < 0.1).mean(axis=0)
    assert within[0] >= 0.9, errors
    assert within[1] >= 0.9, errors


def test_noise_of_rows_does_not_count():
    raw, gain, _ = exposed(scene("coffee"), SENSORS[0], 6400)
    rows = np.random.default_rng(1).normal(0, 60, (raw.mosaic.shape[0], 1))
    striped = replace(raw, mosaic=np.clip(raw.mosaic + rows, 0, 16383).astype(np.uint16))
    found, plain = estimate_noise(striped), estimate_noise(raw)
    assert found.variance[0] == pytest.approx(plain.variance[0], rel=0.1)
    assert found.gain[0] == pytest.approx(gain, rel=0.1)


def test_saturated_and_masked_parts_are_left_out():
    light = scene("coffee")
    light[:100] = 3.0
    raw, gain, variance = exposed(light, SENSORS[0], 3200)
    values = np.minimum(raw.mosaic, 15000)  # saturates below the white level
    values[-64:] = 512
    found = estimate_noise(replace(raw, mosaic=values))
    assert found.gain[1] == pytest.approx(gain, rel=0.1)
    assert found.variance[1] ** 0.5 == pytest.approx(variance**0.5, rel=0.1)


@pytest.mark.parametrize("value", [0.01, 0.17, 0.8])
@pytest.mark.parametrize("sensor", SENSORS)
def test_frames_of_one_brightness(value, sensor):
    """Such frames show no slope of the noise over brightness, but the noise at their brightness."""
    raw, gain, variance = exposed(np.full((512, 768, 3), value), sensor, 800)
    deviation = (gain * value + variance) ** 0.5
    assert estimate_noise(raw).deviation(value)[1] == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize("value", [0, 512, 16383])
@pytest.mark.parametrize("size", [(12, 12), (64, 96)])
def test_frames_without_noise_have_that_of_rounding(value, size):
    raw = RawImage(np.full(size, value, np.uint16), "RGGB", (512.0,) * 4, 16383.0)
    assert estimate_noise(raw).variance[0] == pytest.approx(1 / 12 / 15871**2)


def dng(path, profile, raw):
    values = {"pattern": raw.pattern, "black_level": 64, "white_level": 1023, "noise_profile": profile}
    write_dng(path, raw.mosaic, **values)
    return read_raw(path)


@pytest.fixture
def frame():
    return exposed(scene("coffee"), SENSORS[2], 800, pattern="GRBG")


def test_the_profile_of_the_file(tmp_path, frame):
    raw, gain, variance = frame
    profile = (gain, variance, gain * 1.1, variance, gain, variance * 1.2)
    read = dng(tmp_path / "profile.dng", profile, raw)
    assert noise_of(read) == SensorNoise((gain, gain * 1.1, gain), (variance, variance, variance * 1.2))
    once = dng(tmp_path / "once.dng", (gain, -(gain**2)), raw)
    assert read_noise_profile(once.path) == SensorNoise((gain,) * 3, (0.0,) * 3)


@pytest.mark.parametrize(
    "profile",
    [
        (0.0, 0.0),
        (1e-4, float("nan")),
        (-1e-4, 1e-6),
        (5.0, 1e-6),
        (1e-4, -1e-2),
        (1e-4, 1e-6, 1e-4),
        (1e-9, 1e-13),  # far from what the frame shows
    ],
)
def test_nonsense_in_the_profile(tmp_path, frame, profile):
    raw, gain, _ = frame
    read = dng(tmp_path / "a.dng", profile, raw)
    with pytest.warns(UserWarning, match="noise profile") as warned:
        found = noise_of(read)
    assert len(warned) == 1
    assert "\n" not in str(warned[0].message)
    assert found.gain[1] == pytest.approx(gain, rel=0.1)


def test_without_a_profile_it_is_estimated(tmp_path, frame):
    raw, gain, _ = frame
    read = dng(tmp_path / "a.dng", None, raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert noise_of(read).gain[1] == pytest.approx(gain, rel=0.1)


def test_the_noise_of_a_cameras_file(frame):
    raw = replace(frame[0], iso=1600.0)
    found = camera_noise("configs/cameras/sony_a7s2.yml", raw)
    gain = 0.105 * 16
    assert found.gain[0] == pytest.approx(gain / 15871)
    assert found.variance[0] * 15871**2 == pytest.approx(
        (2.4 * gain) ** 2 + 1.2**2 + (0.3 * gain) ** 2 + 0.15**2 + 1 / 12
    )
    with pytest.raises(UserError, match="ISO"):
        noise_of(replace(raw, iso=0.0), "configs/cameras/sony_a7s2.yml")


@pytest.mark.parametrize(
    "values", [((0.0,) * 3, (0.0,) * 3), ((-1.0,) * 3, (1.0,) * 3), ((np.nan,) * 3, (1.0,) * 3)]
)
def test_impossible_noise(values):
    with pytest.raises(ValueError, match="noise needs"):
        SensorNoise(*values)


def test_packed_noise():
    gain, variance = SensorNoise((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)).packed
    assert gain.ravel().tolist() == [1, 2, 3, 2]
    assert variance.ravel().tolist() == [4, 5, 6, 5]
