"""Raw files that are read by something else than their mosaic, or refused: each by its reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddle_restore.data.dng_file import ASCII, LONG, RATIONAL, SHORT, SRATIONAL, Tags, directory
from paddle_restore.data.metadata import MAIN, pack_block
from paddle_restore.data.raw import develop, develop_picture, has_mosaic, read_raw
from paddle_restore.data.synthetic.dng import SRGB_COLOR_MATRIX, write_dng
from paddle_restore.errors import UserError


def write_linear(path: Path, picture: np.ndarray, orientation: int = 1) -> None:
    """Write a DNG without a mosaic: (H, W, 3) demosaiced, or (H, W) of a sensor without colours."""
    channels = picture.shape[2] if picture.ndim == 3 else 1
    tags: Tags = {
        254: (LONG, 0),
        256: (LONG, picture.shape[1]),
        257: (LONG, picture.shape[0]),
        258: (SHORT, (16,) * channels),
        259: (SHORT, 1),
        262: (SHORT, 34892),
        271: (ASCII, "Maker"),
        272: (ASCII, "Linear"),
        274: (SHORT, orientation),
        277: (SHORT, channels),
        278: (LONG, picture.shape[0]),
        279: (LONG, picture.nbytes),
        284: (SHORT, 1),
        50706: (1, b"\1\4\0\0"),
        50707: (1, b"\1\1\0\0"),
        50708: (ASCII, "Maker Linear"),
        50717: (LONG, (65535,) * channels),
    }
    if channels == 3:
        tags[50721] = (SRATIONAL, SRGB_COLOR_MATRIX)
        tags[50778] = (SHORT, 21)
        tags[50728] = (RATIONAL, (1.0, 1.0, 1.0))
    # The strip's place is counted from the directory's end.
    block = pack_block({MAIN: directory({**tags, 273: (LONG, 0)})})
    path.write_bytes(block + picture.astype("<u2").tobytes())


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light < 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("shape", [(60, 80, 3), (60, 80)], ids=["linear", "monochrome"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_raw_file_without_a_mosaic_becomes_an_srgb_picture(tmp_path, shape, orientation):
    light = np.kron(np.random.default_rng(0).random((6, 8, *shape[2:])), np.ones((10, 10, 1)[: len(shape)]))
    write_linear(tmp_path / "a.dng", np.rint(light * 65535).astype(np.uint16), orientation)
    assert not has_mosaic(tmp_path / "a.dng")
    picture = develop_picture(tmp_path / "a.dng")
    upright = np.rot90(light, -1) if orientation == 6 else light
    np.testing.assert_allclose(picture / 65535, srgb(upright), atol=0.003)
    with pytest.raises(UserError, match="give it to a network for pictures"):
        read_raw(tmp_path / "a.dng")


def test_a_mosaic_is_one(tmp_path):
    write_dng(tmp_path / "a.dng", np.full((32, 32), 600, np.uint16))
    (tmp_path / "b.dng").write_bytes(b"junk")
    assert has_mosaic(tmp_path / "a.dng")
    assert has_mosaic(tmp_path / "b.dng")  # reading it says what is wrong


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("damaged_dng_black/damaged.dng", "60 bytes are too few for its 320x240 pixels; the file is broken"),
        ("headerless_raw_guessed/sensor_768x512_16bit.raw", "has no header that says its camera"),
        (
            "dng_compression_called_broken/jxl.dng",
            "compressed by JPEG XL, which LibRaw .* convert it by",
        ),
    ],
)
def test_what_is_no_mosaic_is_refused_by_its_reason(shared, name, message):
    with pytest.raises(UserError, match=message):
        read_raw(shared / "cases/files" / name)


def test_missing_rows_are_told(tmp_path):
    mosaic = np.full((64, 64), 600, np.uint16)
    mosaic[40:] = 0
    write_dng(tmp_path / "a.dng", mosaic, black_level=512)
    with pytest.raises(UserError, match="only 40 of its 64 rows"):
        read_raw(tmp_path / "a.dng")
    write_dng(tmp_path / "a.dng", 0 * mosaic, black_level=512)
    with pytest.raises(UserError, match="only 0 of its 64 rows"):
        read_raw(tmp_path / "a.dng")
    write_dng(tmp_path / "a.dng", mosaic, black_level=0)  # where black is 0, the rows may be dark
    assert read_raw(tmp_path / "a.dng").mosaic[50].max() == 0


def test_without_a_white_balance_it_is_that_of_daylight(shared):
    raw = read_raw(shared / "cases/files/before_without_white_balance/no_neutral.dng")
    np.testing.assert_allclose(raw.white_balance, 1, atol=1e-3)
    red, green, blue = raw.aligned().preview().mean((1, 2))
    assert red > 0.1
    assert blue > 0.1
    assert green > 0.1


def test_black_levels_by_colour_are_developed(shared):
    """rawpy 0.26.0 ignores them, and gives (27053, 27989, 28862)."""
    picture = develop(shared / "cases/files/rawpy_0_26_0/black4.dng")
    np.testing.assert_allclose(picture.mean((0, 1)), (24023, 24034, 24050), atol=20)
