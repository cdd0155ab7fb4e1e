"""Picture files of every depth and kind go in and come back as they were."""

from __future__ import annotations

import contextlib
import logging
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from paddle_restore.data.image import (
    Form,
    image_size,
    read_image,
    read_with_form,
    to_float,
    to_integer,
    write_image,
)
from paddle_restore.data.metadata import Metadata
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
    if suffix == ".tif":  # OpenCV multiplies its colours with their opacity
        stored = tifffile.imread(tmp_path / "b.tif")
    else:
        stored = cv2.imread(str(tmp_path / f"b{suffix}"), cv2.IMREAD_UNCHANGED)
        stored = stored if channels == 1 else stored[..., [2, 1, 0, 3][:channels]]
    np.testing.assert_array_equal(stored, original)


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
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    assert image_size(tmp_path / "a.png") == (20, 30)  # the header is enough


def pixels():
    y, x = np.mgrid[:48, :64]
    return np.dstack([x * 4, y * 5, 255 - x * 4]).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_file_cut_short_is_an_error_in_every_format(tmp_path, capfd, suffix, share):
    path = tmp_path / f"a{suffix}"
    write_image(path, pixels())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"cannot be read .*cut short|holds no PNG|is empty") as error:
        read_image(path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_harmed_files_are_one_line_or_pixels(tmp_path, suffix):
    """Bytes changed at random, most of them in the header."""
    path = tmp_path / f"a{suffix}"
    write_image(path, pixels(), metadata=Metadata(dpi=(300, 300)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, rng.choice([30, 200, len(data)]), 4):
            data[place % len(data)] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(UserError):  # and nothing else
            assert read_image(path, max_pixels=10**6).shape[2] == 3


def test_the_content_says_the_format(tmp_path):
    write_image(tmp_path / "a.jpg", pixels())
    (tmp_path / "a.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "a.jpg"))
    (tmp_path / "page.jpg").write_bytes(b"<!DOCTYPE html><html>not found</html>")
    with pytest.raises(UserError, match="holds no PNG, JPEG"):
        read_image(tmp_path / "page.jpg")


def test_a_tiff_of_two_widths_is_broken(tmp_path):
    Image.new("RGB", (44, 36)).save(tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    entry = data.index(struct.pack("<H", 256), int.from_bytes(data[4:8], "little"))
    twice = struct.pack("<HHIHH", 256, 3, 2, 44, 36)
    (tmp_path / "b.tif").write_bytes(data[:entry] + twice + data[entry + 12 :])
    for read in (image_size, read_image):
        with pytest.raises(UserError, match=r"b\.tif: cannot be read as a picture"):
            read(tmp_path / "b.tif")


def png_header(height, width):
    data = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + data))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + data + crc + b"\0\0\1\0IDAT"


def test_a_bomb_is_refused_by_its_header(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(100_000, 200_000))
    with pytest.raises(UserError, match=r"has 200000x100000 = 20000\.0 million pixels, and the limit is 500"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_the_limit_is_the_callers(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, pixels())
    assert read_image(path, max_pixels=48 * 64).shape == (48, 64, 3)
    with pytest.raises(UserError, match="64x48"):
        read_image(path, max_pixels=48 * 64 - 1)


def test_floating_point_tiff(tmp_path):
    def write(name, values):
        tifffile.imwrite(tmp_path / name, values.astype(np.float32), photometric="rgb")
        return tmp_path / name

    values = pixels() / 255
    image, form = read_with_form(write("a.tif", values))
    assert (image.dtype, form.depth) == (np.uint16, 16)
    assert np.abs(image / 65535 - values).max() < 1e-5
    for wrong, message in (
        (np.nan, "NaN"),
        (np.inf, "infinite"),
        (-0.5, "numbers from -0.5 to 1"),
        (9, "to 9"),
    ):
        values[3, 4, 1] = wrong
        with pytest.raises(UserError, match=message):
            read_image(write("b.tif", values))


def odd_files():
    """name, how Pillow or tifffile writes it, what is said about it (None: it is read)."""
    colours, grey = pixels(), pixels()[..., 0]
    deep = colours.astype(np.uint16)
    yield "cmyk.jpg", lambda pil, tiff: pil(colours).convert("CMYK"), "is a CMYK"
    yield "cmyk.tif", lambda pil, tiff: pil(colours).convert("CMYK"), "is a CMYK"
    yield "palette.png", lambda pil, tiff: pil(colours).quantize(200), None
    yield "one_bit.png", lambda pil, tiff: pil(grey > 90), None
    yield "one_bit.tif", lambda pil, tiff: pil(grey > 90), None
    yield "grey_alpha.png", lambda pil, tiff: pil(np.dstack([grey, grey]), "LA"), None
    yield "grey_alpha.tif", lambda pil, tiff: pil(np.dstack([grey, grey]), "LA"), None
    yield "moving.webp", lambda pil, tiff: [pil(colours), pil(255 - colours)], "animated WebP"
    yield "moving.png", lambda pil, tiff: [pil(colours), pil(255 - colours)], "animated PNG"
    yield "pages.tif", lambda pil, tiff: [pil(colours), pil(255 - colours)], None
    yield "tiled.tif", lambda pil, tiff: tiff(colours, tile=(32, 32), photometric="rgb"), None
    yield "big.tif", lambda pil, tiff: tiff(deep, bigtiff=True, photometric="rgb"), None
    yield "other_order.tif", lambda pil, tiff: tiff(deep, byteorder=">", photometric="rgb"), None
    yield "half.tif", lambda pil, tiff: tiff(colours.astype(np.float16), photometric="rgb"), "16-bit floating"
    yield "signed.tif", lambda pil, tiff: tiff(colours.astype(np.int16), photometric="rgb"), "16-bit signed"
    planes = deep.transpose(2, 0, 1).copy()
    yield (
        "planes.tif",
        lambda pil, tiff: tiff(planes, photometric="rgb", planarconfig="separate"),
        None,
    )
    yield "white.tif", lambda pil, tiff: tiff(255 - grey, photometric="miniswhite"), None
    yield "white16.tif", lambda pil, tiff: tiff(65535 - deep[..., 0], photometric="miniswhite"), None


@pytest.mark.parametrize(("name", "make", "message"), odd_files(), ids=lambda value: str(value)[:15])
def test_odd_files_are_read_right_or_refused(tmp_path, name, make, message):
    path = tmp_path / name
    made = make(Image.fromarray, lambda *given, **options: tifffile.imwrite(path, *given, **options))
    if made:
        first, *others = made if isinstance(made, list) else [made]
        first.save(path, **({"save_all": True, "append_images": others} if others else {}))
    if message:
        with pytest.raises(UserError, match=message) as error:
            read_image(path)
        assert "\n" not in str(error.value)
        return
    wanted = pixels().astype(int)
    if name.startswith(("grey", "white", "one")):
        wanted = np.repeat(wanted[..., :1], 3, axis=2)
    if name.startswith("one"):
        wanted = (wanted > 90) * 255
    assert np.abs(read_image(path) - wanted).mean() < (6 if name.startswith("palette") else 1e-9)


def test_a_jpeg_of_lower_quality_is_smaller(tmp_path):
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 90):
            write_image(tmp_path / f"a{suffix}", pixels(), quality=quality)
            sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert sizes[0] < sizes[1]


def test_16_bit_tiff_is_smaller_than_its_pixels_and_lossless(tmp_path):
    smooth = np.linspace(0, 1, 100 * 100 * 3).reshape(100, 100, 3)
    write_image(tmp_path / "a.tif", smooth, depth=16)
    assert (tmp_path / "a.tif").stat().st_size < 100 * 100 * 6
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), to_integer(smooth, 16))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("metadata", [None, Metadata(dpi=(72, 72))])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, suffix, metadata):
    """The limit of a file's size stands in for the disk's end: writing stops in the middle."""
    resource = pytest.importorskip("resource")
    path = tmp_path / f"a{suffix}"
    write_image(path, np.zeros((8, 8, 3)))
    before = (path).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError, match=rf"a\{suffix}: cannot be written \(File too large\)") as error:
            write_image(path, picture(3, np.uint16, (90, 90)), metadata=metadata)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert (path).read_bytes() == before


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "folder/a.png"])
def test_where_nobody_can_write_is_one_line(tmp_path, name):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(UserError, match=r"cannot (be written|write there)"):
        write_image(tmp_path / name, np.zeros((8, 8, 3)))


def test_what_a_format_cannot_hold_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"70000x2 pixels cannot be encoded as JPG; choose \.png"):
        write_image(tmp_path / "a.jpg", np.zeros((2, 70000, 3), np.uint8))


def test_integers_of_a_tall_picture_are_those_of_its_rows():
    tall = np.random.default_rng(0).uniform(-0.1, 1.1, (1000, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(to_integer(tall), np.rint(np.clip(tall, 0, 1) * 255).astype(np.uint8))
    np.testing.assert_array_equal(
        to_float(to_integer(tall, 16)), to_integer(tall, 16).astype(np.float32) / 65535
    )


def test_tifffile_logs_nothing_of_broken_tags(tmp_path, capfd):
    """Paddle's import gives the root logger a handler, to which tifffile's lines went."""
    write_image(tmp_path / "a.tif", np.zeros((16, 16, 3), np.uint8))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        place = file.pages[0].tags[282].offset  # XResolution
    data[place + 8 : place + 12] = (99999999).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        read_image(tmp_path / "a.tif")
    finally:
        logging.getLogger().removeHandler(handler)
    assert capfd.readouterr().err == ""
