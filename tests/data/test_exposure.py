"""Automatic exposure, the white balance of other cameras, and overexposed parts that stay white."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paddle_restore.data.exposure import auto_exposure, tone_curve
from paddle_restore.data.highlights import whiten
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.data.raw_options import RawOptions
from paddle_restore.data.synthetic.dng import BAYER_PATTERNS, SRGB_COLOR_MATRIX, XTRANS_PATTERN, write_dng
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.data.synthetic.scenes import SCENES, XTRANS_SCENES, photograph
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.data.white_balance import to_training_camera
from paddle_restore.models.published import FUJI, SONY
from paddle_restore.serving.example import dark_raw
from tests.conftest import ROOT

CAMERA = load_camera(ROOT / "configs/cameras/sony_a7s2.yml")
LEVELS = {"black_level": (512.0,) * 4, "white_level": 16383.0, "white_balance": (2.2, 1.0, 1.6, 1.0)}
D850 = (1.0405, -0.3755, -0.1270, -0.5461, 1.3787, 0.1793, -0.1040, 0.2015, 0.6785)  # Adobe's, of LibRaw
XT2 = (1.1434, -0.4948, -0.1210, -0.3746, 1.2042, 0.1903, -0.0666, 0.1479, 0.5235)


def exposed(photo: np.ndarray, ratio: float, pattern: str = "RGGB", iso: int = 1600) -> RawImage:
    """A photograph taken `ratio` times too dark. Exposed by 1 it develops to the photograph itself."""
    light = mosaic(radiance(photo, CAMERA.color_matrix, CAMERA.white_balance), pattern)
    values = CAMERA.expose(light, iso, np.random.default_rng(0), ratio)
    return RawImage(values, pattern, **LEVELS)


# --- exposure ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [100, 300])
def test_the_demo_scenes_come_near_their_long_exposures(ratio):
    stops = []
    for scene in SCENES:
        exposure = auto_exposure(exposed(photograph(scene), ratio, scene.pattern), limit=1e4)
        stops.append(abs(np.log2(exposure / ratio)))
    assert np.mean(stops) < 0.5
    assert np.median(stops) < 0.4


def test_ordinary_exposures_stay_as_they_are():
    exposures = [auto_exposure(exposed(photograph(scene), 1, scene.pattern, iso=100)) for scene in SCENES]
    assert np.median(exposures) < 1.1
    assert min(exposures) >= 1


@pytest.mark.parametrize("scene", SCENES[:6], ids=lambda scene: scene.photo)
def test_little_is_blown_out(scene):
    raw = exposed(photograph(scene), 20, scene.pattern)
    exposure = auto_exposure(raw)
    light = raw.colour_means(32, 32) * raw.balance[:, None, None] * exposure
    assert (light.max(0) >= 1).mean() <= 0.03


def test_lamps_do_not_keep_a_night_dark():
    """Two per cent of lamps: the street between them is what is exposed for."""
    rng = np.random.default_rng(0)
    street = rng.uniform(0.02, 0.05, (256, 256))
    lamps = street.copy()
    lamps[:32, :40] = 1.0
    raw = RawImage(np.rint(lamps * 15871 + 512).astype(np.uint16), "RGGB", (512.0,) * 4, 16383.0)
    exposure = auto_exposure(raw)
    assert exposure > 1.9
    picture = tone_curve(lamps * exposure)
    assert picture.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("pattern", [*BAYER_PATTERNS, XTRANS_PATTERN])
def test_the_pattern_does_not_matter(pattern):
    photo = photograph(XTRANS_SCENES[2])
    plain = auto_exposure(exposed(photo, 30))
    assert auto_exposure(exposed(photo, 30, pattern)) == pytest.approx(plain, rel=0.05)


def test_frames_without_light_and_without_shadow():
    black = RawImage(np.full((64, 64), 512, np.uint16), "RGGB", **LEVELS)
    assert auto_exposure(black) == 300
    assert auto_exposure(black, limit=50) == 50
    assert auto_exposure(replace(black, mosaic=np.full((64, 64), 16383, np.uint16))) == 1
    assert 1 <= auto_exposure(replace(black, mosaic=np.full((12, 14), 700, np.uint16))) <= 300


def test_the_curve_is_libraws(tmp_path):
    """A grey ramp developed by LibRaw, of a camera that sees sRGB."""
    ramp = np.linspace(0, 1, 512)[None].repeat(64, 0)
    write_dng(tmp_path / "a.dng", np.rint(ramp * 65535).astype(np.uint16), exposure_time=1.0)
    developed = develop(tmp_path / "a.dng")[32, 8:-8].mean(-1) / 65535
    np.testing.assert_allclose(developed, tone_curve(ramp[32, 8:-8]), atol=0.006)


def test_the_pages_example_gets_its_light_back(tmp_path):
    (tmp_path / "a.dng").write_bytes(dark_raw())
    assert 35 < auto_exposure(read_raw(tmp_path / "a.dng")) < 70  # it was exposed 50 times too dark


# --- other cameras ----------------------------------------------------------------------------

OPTIONS = RawOptions(white_balance=SONY.white_balance, daylight=SONY.daylight)


def multipliers(matrix, white=(0.950456, 1.0, 1.088754)) -> np.ndarray:
    camera = np.array(matrix).reshape(3, 3) @ white
    return camera[1] / camera


def test_the_training_cameras_multipliers_are_those_of_their_matrices():
    np.testing.assert_allclose(SONY.daylight, multipliers(CAMERA.color_matrix), rtol=2e-3)
    np.testing.assert_allclose(FUJI.daylight, multipliers(XT2), rtol=2e-3)
    light = np.linalg.solve(np.array(CAMERA.color_matrix).reshape(3, 3), 1 / np.array(SONY.white_balance))
    np.testing.assert_allclose(FUJI.white_balance, multipliers(XT2, light), rtol=5e-3)


def grey(path: Path, shot, matrix=D850, level: float = 0.2, **fields) -> RawImage:
    """A file of a grey wall; the light makes its multipliers `shot`."""
    light = mosaic(np.full((48, 64, 3), level) / np.array(shot), "RGGB")
    values = np.rint(light * 15871 + 512).astype(np.uint16)
    write_dng(
        path, values, black_level=512, white_level=16383, white_balance=shot, color_matrix=matrix, **fields
    )
    return read_raw(path)


@pytest.mark.parametrize("shot", [(1.6, 1.0, 1.77), (1.18, 1.0, 2.58), (2.4, 1.0, 1.1)])
def test_grey_of_another_camera_is_grey_for_the_network(tmp_path, shot):
    raw = to_training_camera(grey(tmp_path / "a.dng", shot), OPTIONS)
    red, green, blue, second = raw.packed(2.0).mean((1, 2))
    assert green == pytest.approx(second, rel=1e-3)
    expected = 1 / np.array(SONY.white_balance)
    np.testing.assert_allclose(np.array([red, blue]) / green, expected[[0, 2]], rtol=0.01)
    assert green == pytest.approx(0.4, rel=0.01)  # the exposure is as before
    values, counts = raw.histogram()
    assert (values @ counts) / counts.sum() == pytest.approx(raw.normalised().mean(), rel=1e-4)


def test_the_training_cameras_own_files_stay_as_they_are(tmp_path):
    raw = grey(tmp_path / "a.dng", (1.7, 1.0, 2.7), CAMERA.color_matrix)
    assert to_training_camera(raw, OPTIONS) is raw
    assert to_training_camera(raw, RawOptions()) is raw


def test_a_file_without_a_white_balance_goes_by_its_matrix_or_is_named(tmp_path):
    raw = grey(tmp_path / "matrix.dng", (1.0, 1.0, 1.0))
    gains = to_training_camera(raw, OPTIONS).gains
    np.testing.assert_allclose(gains, multipliers(D850) / np.array(SONY.daylight), rtol=0.01)
    raw = grey(tmp_path / "nothing.dng", (1.0, 1.0, 1.0), SRGB_COLOR_MATRIX)
    with pytest.warns(UserWarning, match=r"nothing\.dng: names no white balance.*may come out tinted"):
        assert to_training_camera(raw, OPTIONS).gains == (1, 1, 1)
    absurd = replace(raw, white_balance=(900.0, 1.0, 1.0, 1.0))
    with pytest.warns(UserWarning, match="names no white balance"):
        assert to_training_camera(absurd, OPTIONS).gains == (1, 1, 1)


def test_a_preview_is_in_the_files_own_colours(tmp_path):
    raw = grey(tmp_path / "a.dng", (1.6, 1.0, 1.77)).aligned()
    balanced = to_training_camera(raw, OPTIONS)
    np.testing.assert_array_equal(balanced.preview(2.0), raw.preview(2.0))
    assert np.ptp(raw.preview(2.0).mean((1, 2))) < 0.01


# --- overexposed parts ------------------------------------------------------------------------


def part_overexposed(pattern: str, size: tuple[int, int] = (96, 120), white: float = 16383.0) -> RawImage:
    """Dark, with the sensor saturated in the middle."""
    values = np.full(size, 700, np.uint16)
    values[size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : 2 * size[1] // 3] = white
    return RawImage(values, pattern, (512.0,) * 4, white, white_balance=(0.8, 1.0, 1.5, 1.0))


@pytest.mark.parametrize("pattern", [*BAYER_PATTERNS, XTRANS_PATTERN])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.uint16])
@pytest.mark.parametrize("amplified", [True, False])
def test_what_saturates_becomes_white_and_nothing_else(pattern, dtype, amplified):
    raw = part_overexposed(pattern)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pink = (np.array([1, 0.6, 0.8]) * top).astype(dtype)
    picture = np.tile(pink, (96, 120, 1))
    whiten(picture, raw, 8.0, amplified)
    assert (picture[40:56, 48:72] == top).all()
    outside = np.ones((96, 120), bool)
    outside[28:68, 36:84] = False
    assert (picture[outside] == pink).all()


def test_white_is_grey_below_ratio_1_and_dark_lines_stay():
    raw = part_overexposed("RGGB")
    picture = np.tile(np.float32([1, 0.5, 0.7]), (96, 120, 1))
    whiten(picture, raw, 0.25)
    np.testing.assert_allclose(picture[48, 60], 0.25 ** (1 / 2.2), atol=1e-6)
    raw.mosaic[46:48] = 600
    picture = np.tile(np.float32([0.1, 0.1, 0.1]), (96, 120, 1))
    whiten(picture, raw, 2.0)
    assert (picture[46:48] < 0.2).all()
    assert (picture[42:44, 50:70] == 1).all()


def test_strips_of_a_large_frame_fit_together(monkeypatch):
    rng = np.random.default_rng(0)
    values = (np.kron(rng.random((10, 10)) ** 3, np.ones((16, 16))) * 9000 + 512).astype(np.uint16)
    raw = RawImage(values, "GBRG", (512.0,) * 4, 16383.0)
    pictures = []
    for cells in (4, 7, 256):
        monkeypatch.setattr("paddle_restore.data.highlights._CELLS", cells)
        picture = np.zeros((160, 160, 3), np.float32)
        whiten(picture, raw, 5.0)
        pictures.append(picture)
    assert 0.05 < pictures[0].mean() < 0.9
    np.testing.assert_array_equal(pictures[0], pictures[2])
    np.testing.assert_array_equal(pictures[1], pictures[2])


def test_coloured_lights_keep_their_colour():
    values = np.full((64, 64), 700, np.uint16)
    values[::2, ::2] = 16383  # red alone is saturated
    raw = RawImage(values, "RGGB", (512.0,) * 4, 16383.0, (2.0, 1.0, 1.5, 1.0))
    picture = np.tile(np.float32([1, 0.2, 0.1]), (64, 64, 1))
    whiten(picture, raw, 20.0)
    np.testing.assert_array_equal(picture, np.tile(np.float32([1, 0.2, 0.1]), (64, 64, 1)))


@pytest.mark.parametrize("ratio", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("pattern", ["RGGB", XTRANS_PATTERN])
def test_saturated_parts_of_a_preview_have_no_colour(pattern, ratio):
    preview = part_overexposed(pattern).aligned().preview(ratio)
    middle = preview[:, 45:50, 55:65]
    np.testing.assert_allclose(middle, min(1.0, ratio) ** (1 / 2.2), rtol=1e-5)


def test_no_warning_for_an_ordinary_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_training_camera(grey(tmp_path / "a.dng", (1.6, 1.0, 1.77)), OPTIONS)
