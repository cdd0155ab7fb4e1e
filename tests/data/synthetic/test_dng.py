"""Synthetic raw files: what LibRaw reads back."""

from __future__ import annotations

import numpy as np
import pytest
import rawpy

from paddle_restore.data.synthetic.dng import BAYER_PATTERNS, XTRANS_PATTERN, write_dng
from paddle_restore.errors import UserError


def noise(bits: int, shape=(42, 54)) -> np.ndarray:
    mosaic = np.random.default_rng(0).integers(0, 2**bits, shape, dtype=np.uint16)
    # The largest steps that there are, up and down, and from the first pixel.
    mosaic[0, :4] = 0, 2**bits - 1, 0, 2**bits - 1
    mosaic[1, :3] = 2 ** (bits - 1), 0, 2 ** (bits - 1)
    return mosaic


def letters(raw: rawpy.RawPy, period: int) -> str:
    return "".join("RGBG"[colour] for colour in raw.raw_colors_visible[:period, :period].ravel())


@pytest.mark.parametrize("pattern", [*BAYER_PATTERNS, XTRANS_PATTERN], ids=lambda p: p[:4])
@pytest.mark.parametrize("shape", [(42, 54), (43, 55)], ids=["even", "odd"])
@pytest.mark.parametrize("compression", ["none", "lossless jpeg"])
@pytest.mark.parametrize("bits", [12, 14, 16])
def test_libraw_reads_back_every_bit(tmp_path, pattern, shape, compression, bits):
    mosaic = noise(bits, shape)
    fields = {"bits": bits, "white_level": 2**bits - 1, "compression": compression}
    write_dng(tmp_path / "a.dng", mosaic, pattern=pattern, **fields)
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        np.testing.assert_array_equal(raw.raw_image_visible, mosaic)
        assert letters(raw, 2 if len(pattern) == 4 else 6) == pattern
        assert raw.white_level == 2**bits - 1


def test_libraw_reads_back_the_metadata(tmp_path):
    write_dng(
        tmp_path / "a.ARW",  # LibRaw looks at the content, not at the name
        noise(14),
        pattern="GBRG",
        black_level=(510, 511, 512, 513),
        white_level=16300,
        white_balance=(2.25, 1.0, 1.5),
        exposure_time=0.033,
        iso=640,
        aperture=5.6,
    )
    with rawpy.imread(str(tmp_path / "a.ARW")) as raw:
        # By colour: R, the red rows' green, B, the blue rows' green.
        assert raw.black_level_per_channel == [512, 513, 511, 510]
        assert raw.white_level == 16300
        np.testing.assert_allclose(raw.camera_whitebalance[:3], [2.25, 1.0, 1.5], rtol=1e-5)
        assert raw.other.shutter_speed == pytest.approx(0.033)
        assert raw.other.iso_speed == 640
        assert raw.other.aperture == pytest.approx(5.6)


@pytest.mark.parametrize(("orientation", "flip"), [(1, 0), (3, 3), (6, 6), (8, 5)])
def test_orientation_is_the_files_and_leaves_the_mosaic(tmp_path, orientation, flip):
    write_dng(tmp_path / "a.dng", noise(16), orientation=orientation)
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        assert raw.sizes.flip == flip
        np.testing.assert_array_equal(raw.raw_image_visible, noise(16))


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", XTRANS_PATTERN], ids=lambda p: p[:4])
def test_the_pattern_starts_where_the_margins_end(tmp_path, pattern):
    write_dng(tmp_path / "a.dng", noise(16), pattern=pattern, active_area=(2, 4, 39, 51))
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        np.testing.assert_array_equal(raw.raw_image, noise(16))
        np.testing.assert_array_equal(raw.raw_image_visible, noise(16)[2:39, 4:51])
        assert letters(raw, 2 if len(pattern) == 4 else 6) == pattern


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pattern": "RGBW"}, "pattern"),
        ({"bits": 12}, "do not fit 12 bits"),
        ({"black_level": (1, 2)}, "1 or 4 numbers"),
        ({"compression": "lzw"}, "compression"),
    ],
)
def test_fields_that_do_not_fit_are_refused(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        write_dng(tmp_path / "a.dng", noise(14), **fields)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError):
        write_dng(tmp_path / "file/a.dng", noise(14))
