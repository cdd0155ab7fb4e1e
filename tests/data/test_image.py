"""Picture files of every depth and kind go in and come back as they were."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from paddle_restore.data.image import (
    Form,
    image_size,
    read_image,
    read_with_form,
    to_float,
    write_image,
)
from paddle_restore.errors import UserError


def picture(channels, dtype, size=(20, 30)):
    shape = size if channels == 1 else (*size, channels)
    return np.random.default_rng(channels).integers(1, np.iinfo(dtype).max, shape, dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_files_come_back_bit_by_bit(tmp_path, suffix, dtype, channels):
    path, original = tmp_path / f"a{suffix}", picture(channels, dtype)
    write_image(path, original)
    image, form = read_with_form(path)
    assert image.shape == (20, 30, 3)
    assert image.dtype == dtype
    assert (form.depth, form.grey, form.alpha is not None) == (
        8 * np.dtype(dtype).itemsize,
        channels == 1,
        channels == 4,
    )
    np.testing.assert_array_equal(read_image(path), image)
    write_image(tmp_path / f"b{suffix}", form.shape(to_float(image)))
    stored = cv2.imread(str(tmp_path / f"b{suffix}"), cv2.IMREAD_UNCHANGED)
    wanted = original if channels == 1 else original[..., [2, 1, 0, 3][:channels]]
    np.testing.assert_array_equal(stored, wanted)


def test_grey_is_the_mean_of_the_restored_channels():
    restored = np.dstack([np.full((2, 2), value) for value in (0.1, 0.2, 0.6)])
    np.testing.assert_array_equal(Form(grey=True).shape(restored), np.full((2, 2), round(0.3 * 255)))


def test_another_depth_takes_the_alpha_along():
    alpha = np.full((2, 2), 128, np.uint8)
    shaped = Form(8, alpha=alpha).shape(np.zeros((2, 2, 3)), depth=16)
    assert shaped.dtype == np.uint16
    assert shaped[0, 0, 3] == 128 * 257


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_eight_bit_formats(tmp_path, suffix):
    flat = np.full((16, 16, 4), 0.5)
    flat[..., 3] = 1
    write_image(tmp_path / f"a{suffix}", flat, depth=16)
    image, form = read_with_form(tmp_path / f"a{suffix}")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - 128).max() <= 1
    assert not form.grey
    assert form.alpha is None or (suffix == ".webp" and (form.alpha == 255).all())


def test_a_picture_on_its_side_is_turned(tmp_path):
    """A phone's JPEG says in its EXIF block how it was held."""
    write_image(tmp_path / "a.jpg", np.zeros((20, 30, 3)))
    plain = (tmp_path / "a.jpg").read_bytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    (tmp_path / "a.jpg").write_bytes(
        plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    )
    assert read_with_form(tmp_path / "a.jpg")[0].shape == (30, 20, 3)


@pytest.mark.parametrize("harm", ["short", "flipped", "no end", "empty", "text"])
def test_a_broken_png_is_one_line_and_nothing_else(tmp_path, capfd, harm):
    path = tmp_path / "a.png"
    write_image(path, picture(3, np.uint8))
    data = bytearray(path.read_bytes())
    if harm == "flipped":
        data[len(data) // 2] ^= 255
    path.write_bytes(
        {"short": data[:300], "no end": data[:-12], "empty": b"", "text": b"hello"}.get(harm, bytes(data))
    )
    for read in (read_image, read_with_form):
        with pytest.raises(UserError, match=r"a\.png: cannot be read") as error:
            read(path)
        assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_sizes_without_decoding(tmp_path):
    for name in ("a.png", "a.jpg", "a.tif"):
        write_image(tmp_path / name, np.zeros((20, 30, 3)))
        assert image_size(tmp_path / name) == (20, 30)
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:30])
    assert image_size(tmp_path / "a.png") == (20, 30)  # the header is enough
