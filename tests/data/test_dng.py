"""Raw frames written as DNG files: what LibRaw reads back, and which facts of the camera stay."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore.data.dng import BLACK, WHITE, CameraFacts, read_camera, to_16_bits, write_raw
from paddle_restore.data.metadata import EXIF, GPS, MAIN, read_file_tags, read_sensor_tags
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.data.synthetic.dng import BAYER_PATTERNS, XTRANS_PATTERN, write_dng
from tests.data.test_developers import original

MATRIX = (0.7, -0.2, -0.1, -0.4, 1.2, 0.2, -0.1, 0.2, 0.6)


def noise(shape=(80, 100), low=600, high=3000) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, shape).astype(np.uint16)


@pytest.mark.parametrize("pattern", [*BAYER_PATTERNS, XTRANS_PATTERN], ids=lambda p: p[:4])
@pytest.mark.parametrize("shape", [(80, 100), (81, 103), (22, 24), (530, 1040)])
def test_libraw_reads_back_the_frame(tmp_path, pattern, shape):
    raw = RawImage(noise(shape, 0, 65536), pattern, (BLACK,) * 4, WHITE, (2.0, 1.0, 1.5, 1.0), orientation=6)
    write_raw(tmp_path / "a.dng", raw, CameraFacts())
    again = read_raw(tmp_path / "a.dng")
    # Where both sides are odd, the last column lies outside the active area.
    width = shape[1] - (shape[0] % 2 and shape[1] % 2)
    np.testing.assert_array_equal(again.mosaic, raw.mosaic[:, :width])
    assert (again.pattern, again.black_level, again.white_level) == (pattern, (BLACK,) * 4, WHITE)
    assert again.orientation == 6
    np.testing.assert_allclose(again.white_balance[:3], (2.0, 1.0, 1.5), rtol=1e-5)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_levels_become_those_of_16_bits(kind):
    blacks = (500.0, 510.0, 520.0, 530.0)
    raw = RawImage(noise((40, 50), 300, 4200).astype(kind), "GRBG", blacks, 4095.0)
    scaled = to_16_bits(raw)
    assert scaled.mosaic.dtype == np.uint16
    step = 1 / (WHITE - BLACK)
    np.testing.assert_allclose(scaled.packed(), raw.packed(), atol=step)
    # What is below black stays below it.
    darkest = float(raw.mosaic[::2, ::2].min())
    expected = BLACK + (darkest - 510) / (4095 - 510) / step  # green of the red rows
    assert 0 < expected < BLACK
    assert abs(scaled.mosaic[::2, ::2].min() - expected) <= 0.51
    assert scaled.mosaic.max() == WHITE
    np.testing.assert_allclose(to_16_bits(raw, 2.0).packed(), np.clip(2 * raw.packed(), 0, 1), atol=step)
    assert to_16_bits(scaled) is scaled


def test_camera_and_exposure_stay(tmp_path):
    facts = {"pattern": "GBRG", "black_level": [500, 510, 520, 530], "white_level": 4095, "orientation": 8}
    exposure = {"iso": 640, "exposure_time": 0.033, "aperture": 5.6, "white_balance": (2.25, 1.0, 1.5)}
    write_dng(
        tmp_path / "a.dng", noise(), **facts, **exposure, color_matrix=MATRIX, active_area=(4, 6, 76, 90)
    )
    raw = read_raw(tmp_path / "a.dng")
    write_raw(tmp_path / "b.dng", raw, read_camera(tmp_path / "a.dng"))
    again = read_raw(tmp_path / "b.dng")
    assert again.mosaic.shape == (72, 84)
    np.testing.assert_allclose(again.packed(), raw.packed(), atol=1e-4)
    for name in ("pattern", "white_balance", "orientation", "iso", "exposure_time"):
        assert getattr(again, name) == getattr(raw, name)
    before, after = (read_sensor_tags(tmp_path / name) for name in ("a.dng", "b.dng"))
    for tag in (271, 272, 50708, 50721, 50728, 50778):
        assert after[tag] == before[tag]
    assert 324 in after  # tiles, so no strips
    assert not {273, 278, 279} & set(after)


@pytest.mark.parametrize("metadata", [False, True])
def test_place_and_serial_numbers_are_kept_on_demand(tmp_path, metadata):
    original(tmp_path / "a.dng", "RGGB", (512,) * 4, 16383, 1, (4, 6, 68, 102))
    write_raw(tmp_path / "b.dng", read_raw(tmp_path / "a.dng"), read_camera(tmp_path / "a.dng"), metadata)
    found = read_file_tags(tmp_path / "b.dng")
    assert (GPS in found) == metadata
    assert ({42033, 42037} <= set(found[EXIF])) == metadata
    assert (50735 in found[MAIN]) == metadata
    assert float(found[EXIF][33434]) == 0.008
    assert found[EXIF][42036] == "Nokton 35mm"
    assert 51041 not in found[MAIN]  # the noise profile is the old mosaic's


def test_a_camera_that_says_nothing_has_colours(tmp_path):
    """A matrix of zeros is no matrix; the as-shot white is white all the same."""
    write_dng(tmp_path / "a.dng", noise(), color_matrix=(0.0,) * 9, white_balance=(2.0, 1.0, 1.5))
    write_raw(tmp_path / "b.dng", read_raw(tmp_path / "a.dng"), read_camera(tmp_path / "a.dng"))
    matrix = np.array([float(x) for x in read_sensor_tags(tmp_path / "b.dng")[50721]]).reshape(3, 3)
    assert abs(np.linalg.det(matrix)) > 0.01
    grey = np.full((48, 64), 4000, np.uint16)
    grey[::2, ::2], grey[1::2, 1::2] = 2000, 2667
    write_dng(tmp_path / "a.dng", grey, color_matrix=(0.0,) * 9, white_balance=(2.0, 1.0, 1.5))
    write_raw(tmp_path / "b.dng", read_raw(tmp_path / "a.dng"), read_camera(tmp_path / "a.dng"))
    assert np.ptp(develop(tmp_path / "b.dng")[24, 32].astype(int)) < 200


def test_the_same_picture_is_developed(tmp_path):
    light = np.kron(np.random.default_rng(0).random((10, 12)), np.ones((8, 8))) * 3000 + 550
    levels = {"pattern": "GBRG", "black_level": 512, "white_level": 4095, "white_balance": (2.25, 1.0, 1.5)}
    write_dng(tmp_path / "a.dng", light.astype(np.uint16), **levels, color_matrix=MATRIX)
    write_raw(tmp_path / "b.dng", read_raw(tmp_path / "a.dng"), read_camera(tmp_path / "a.dng"))
    a, b = (develop(tmp_path / name).astype(float) for name in ("a.dng", "b.dng"))
    assert np.abs(a - b).mean() < 65535 / 2000
