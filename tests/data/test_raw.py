"""Raw files: what comes from the file, packing in every phase, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from paddle_restore.data.raw import XTRANS, RawImage, develop, read_raw
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.errors import UserError
from tests.conftest import ROOT

PHASES = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}


def mosaic_of(picture: np.ndarray, pattern: str) -> np.ndarray:
    period = 2 if len(pattern) == 4 else 6
    tile = np.array(["RGB".index(c) for c in pattern]).reshape(period, period)
    height, width = picture.shape[:2]
    colours = np.tile(tile, (-(-height // period), -(-width // period)))[:height, :width]
    return np.take_along_axis(picture, colours[..., None], 2)[..., 0].astype(np.uint16)


def test_packing_is_the_authors():
    golden = np.load(ROOT / "tests/golden/packing.npz")
    bayer = RawImage(golden["bayer_in"], "RGGB", (512,) * 4, 16383)
    np.testing.assert_allclose(bayer.packed().transpose(1, 2, 0), golden["bayer_out_hwc"], atol=1e-6)
    xtrans = RawImage(golden["xtrans_in"], XTRANS, (1024,) * 4, 16383)
    np.testing.assert_allclose(xtrans.packed().transpose(1, 2, 0), golden["xtrans_out_hwc"], atol=1e-6)


@pytest.mark.parametrize("pattern", PHASES)
def test_every_bayer_phase_packs_to_the_same_channels(pattern):
    raw = RawImage(mosaic_of(np.full((6, 8, 3), (300, 500, 700)), pattern), pattern, (100,) * 4, 1100)
    planes = raw.packed(ratio=0.5)
    assert planes.shape == (4, 3, 4)
    assert planes.dtype == np.float32
    np.testing.assert_allclose(planes.mean((1, 2)), [0.1, 0.2, 0.3, 0.2], rtol=1e-6)


@pytest.mark.parametrize("pattern", PHASES)
def test_the_first_green_is_that_of_the_red_rows(pattern):
    levels = (0.0, 10.0, 20.0, 30.0)  # R, G of the red rows, B, G of the blue rows
    raw = RawImage(np.full((4, 4), 100, np.uint16), pattern, levels, 110)
    expected = [(100 - black) / (110 - black) for black in levels]
    np.testing.assert_allclose(raw.packed().mean((1, 2)), expected, rtol=1e-6)


@pytest.mark.parametrize(("pattern", "size"), itertools.product(PHASES, [(12, 16), (13, 17)]))
def test_views_keep_pixels_in_their_place(pattern, size):
    """`aligned` and `extended` begin at RGGB, and the file's pixels are where they say."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 1000, (*size, 3))
    raw = RawImage(mosaic_of(picture, pattern), pattern, (0,) * 4, 1000)
    aligned = raw.aligned()
    (top, left), (height, width) = raw.phase, aligned.mosaic.shape
    assert (top, left) == PHASES[pattern]
    assert aligned.pattern == "RGGB"
    np.testing.assert_array_equal(
        aligned.mosaic, mosaic_of(picture[top : top + height, left : left + width], "RGGB")
    )
    grown, (up, before) = raw.extended()
    np.testing.assert_array_equal(grown.mosaic[up : up + size[0], before : before + size[1]], raw.mosaic)
    assert grown.mosaic.shape[0] % 2 == 0
    assert grown.mosaic.shape[1] % 2 == 0
    # Every pixel, the added ones too, has the colour that RGGB has there.
    flat = RawImage(mosaic_of(np.full((*size, 3), (1, 2, 3)), pattern), pattern, (0,) * 4, 10).extended()[0]
    np.testing.assert_array_equal(flat.mosaic, mosaic_of(np.full((*flat.mosaic.shape, 3), (1, 2, 3)), "RGGB"))


def test_xtrans_of_another_phase_is_shifted_to_ours():
    shifted = "".join(np.roll(np.array(list(XTRANS)).reshape(6, 6), (2, 1), (0, 1)).ravel())
    flat = np.full((15, 20, 3), (100, 200, 300))
    raw = RawImage(mosaic_of(flat, shifted), shifted, (0,) * 4, 1000)
    assert raw.phase == (2, 1)
    assert raw.packed().shape == (9, 4, 6)
    np.testing.assert_allclose(
        raw.packed().mean((1, 2)), [0.1, 0.2, 0.3, 0.1, 0.3, 0.2, 0.2, 0.2, 0.2], rtol=1e-6
    )
    grown = raw.extended()[0]
    assert (grown.mosaic.shape[0] % 6, grown.mosaic.shape[1] % 6) == (0, 0)
    np.testing.assert_allclose(grown.packed().std((1, 2)), 0, atol=1e-7)


def test_a_file_says_its_own_levels(tmp_path):
    mosaic = np.arange(30 * 44, dtype=np.uint16).reshape(30, 44) + 600
    write_dng(
        tmp_path / "a.dng",
        mosaic,
        pattern="GBRG",
        black_level=[500, 510, 520, 530],
        white_level=4095,
        white_balance=(2.0, 1.0, 1.5),
        exposure_time=0.04,
        iso=800,
        orientation=6,
    )
    raw = read_raw(tmp_path / "a.dng")
    np.testing.assert_array_equal(raw.mosaic, mosaic)
    assert raw.pattern == "GBRG"
    assert sorted(raw.black_level) == [500, 510, 520, 530]
    assert raw.white_level == 4095
    np.testing.assert_allclose(np.array(raw.white_balance) / raw.white_balance[1], [2, 1, 1.5, 1], rtol=1e-3)
    assert raw.exposure_time == pytest.approx(0.04)
    assert raw.iso == 800
    assert raw.orientation == 6
    # The target lies where the mosaic does, whatever the camera's orientation.
    assert develop(tmp_path / "a.dng").shape == (30, 44, 3)


def test_a_recipe_may_override_the_levels(tmp_path):
    write_dng(tmp_path / "a.dng", np.full((32, 32), 600, np.uint16), black_level=512, white_level=16383)
    raw = read_raw(tmp_path / "a.dng").with_levels(black_level=500, white_level=700)
    np.testing.assert_allclose(raw.packed(), 0.5, rtol=1e-6)
    with pytest.raises(UserError, match="white level 100 is not above black level 512"):
        read_raw(tmp_path / "a.dng").with_levels(white_level=100)


def test_the_histogram_is_that_of_the_normalised_mosaic(tmp_path):
    rng = np.random.default_rng(0)
    mosaic = rng.integers(400, 3000, (32, 34)).astype(np.uint16)
    raw = RawImage(mosaic, "GRBG", (500.0, 510.0, 520.0, 530.0), 4000.0)
    values, counts = raw.histogram()
    assert counts.sum() == mosaic.size
    np.testing.assert_allclose((values * counts).sum(), raw.normalised().sum(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.ARW", b"", "the file is empty"),
        ("noise.ARW", b"not a raw file at all" * 100, "broken, cut short, or no raw file"),
        ("picture.jpg", b"\xff\xd8\xff", "is a picture, not a raw file"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for read in (read_raw, develop):
        with pytest.raises(UserError, match=message):
            read(tmp_path / name)


def test_a_truncated_file_is_one_line(tmp_path, sid_tree):
    whole = next((sid_tree / "Sony/short").iterdir()).read_bytes()
    (tmp_path / "cut.ARW").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut short"):
        read_raw(tmp_path / "cut.ARW")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_raw(tmp_path / "none.ARW")


@pytest.mark.parametrize("pattern", ["RGGB", XTRANS])
def test_margins_of_the_sensor_do_not_shift_the_colours(tmp_path, pattern):
    mosaic = mosaic_of(np.full((96, 96, 3), (1000, 2000, 3000)), pattern)
    write_dng(tmp_path / "a.dng", mosaic, pattern=pattern, white_level=4095, active_area=(12, 12, 84, 90))
    raw = read_raw(tmp_path / "a.dng")
    assert raw.mosaic.shape == (72, 78)
    greens = [1, 3] if pattern == "RGGB" else [1, 5, 6, 7, 8]
    planes = raw.aligned().packed()
    assert planes.std((1, 2)).max() < 1e-6
    np.testing.assert_allclose(planes[0], 1000 / 4095, rtol=1e-6)
    np.testing.assert_allclose(planes[greens], 2000 / 4095, rtol=1e-6)
    np.testing.assert_allclose(planes[2], 3000 / 4095, rtol=1e-6)
