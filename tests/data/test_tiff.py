"""Every kind of TIFF that the table of docs/pictures.md names. Expected pixels are made by hand.

The module runs twice: as installed, and in a process without imagecodecs (the last test).
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from paddle_restore.data.image import read_with_form, to_float, write_image
from paddle_restore.errors import UserError
from tests.conftest import ROOT

HEIGHT, WIDTH = 48, 64
HAS_IMAGECODECS = 5 in tifffile.TIFF.DECOMPRESSORS


def colours(dtype=np.uint8):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([x * 4, y * 5, 255 - x * 4]).astype(dtype) * dtype(257 if dtype == np.uint16 else 1)


def read(path):
    """The picture as it would be written again: (H, W) or (H, W, 2 to 4)."""
    picture, form = read_with_form(path)
    return form.shape(picture)


def write_tiff(path, tags, data):
    """A TIFF of one strip, byte by byte: tags are {number: (type, values)}, type 3 or 4."""
    tags = {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 259: (3, [1]), 278: (4, [HEIGHT]), **tags}
    tags.update({273: (4, [0]), 279: (4, [len(data)])})
    start = 8 + 2 + 12 * len(tags) + 4
    extra, entries = b"", b""
    for number in sorted(tags):
        kind, values = tags[number]
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if number == 273:
            place = len(entries) + 10 + 8
        if len(packed) > 4:
            value = struct.pack("<I", start + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        else:
            value = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", number, kind, len(values)) + value
    content = bytearray(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + extra)
    content[place : place + 4] = struct.pack("<I", len(content))
    path.write_bytes(bytes(content) + data)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grey_of_few_bits(tmp_path, bits, white_is_zero):
    values = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    places = np.arange(8 // bits)[::-1] * bits
    packed = (values.reshape(HEIGHT, -1, 8 // bits) << places).sum(axis=2).astype(np.uint8)
    path = write_tiff(
        tmp_path / "a.tif", {258: (3, [bits]), 262: (3, [0 if white_is_zero else 1])}, packed.tobytes()
    )
    wanted = values * (255 // (2**bits - 1))
    np.testing.assert_array_equal(read(path), 255 - wanted if white_is_zero else wanted)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("palette_of_8_bits", [False, True])
def test_palettes_have_their_colours(tmp_path, bits, palette_of_8_bits):
    rng = np.random.default_rng(bits)
    palette = rng.integers(0, 256, (3, 2**bits))
    palette[0, 0] = 200  # so that the palette says how it is scaled
    values = rng.integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    places = np.arange(8 // bits)[::-1] * bits
    packed = (values.reshape(HEIGHT, -1, 8 // bits) << places).sum(axis=2).astype(np.uint8)
    stored = palette if palette_of_8_bits else palette * 257
    tags = {258: (3, [bits]), 262: (3, [3]), 320: (3, stored.ravel().tolist())}
    np.testing.assert_array_equal(
        read(write_tiff(tmp_path / "a.tif", tags, packed.tobytes())), palette.T[values]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "layout",
    [{}, {"tile": (16, 16)}, {"tile": (32, 32), "compression": "zlib"}, {"planarconfig": "separate"},
     {"compression": "zlib", "predictor": True}, {"rowsperstrip": 5}, {"byteorder": ">"}, {"bigtiff": True},
     {"compression": "lzma"}],
    ids=str,
)  # fmt: skip
def test_layouts(tmp_path, dtype, layout):
    picture = colours(dtype)
    stored = picture.transpose(2, 0, 1).copy() if "planarconfig" in layout else picture
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **layout)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize(
    "compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "tiff_lzma", "jpeg"]
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P"])
def test_compressions_of_8_bits(tmp_path, compression, mode):
    """Written by libtiff."""
    picture = Image.fromarray(colours())
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(colours()[..., 0]))
    elif mode == "LA":
        picture = Image.fromarray(colours()[..., 0])
        picture.putalpha(Image.fromarray(colours()[..., 1]))
    else:
        picture = picture.quantize(100) if mode == "P" else picture.convert(mode)
    if compression == "jpeg" and mode not in ("RGB", "L"):
        pytest.skip("JPEG has neither opacity nor palettes")
    picture.save(
        tmp_path / "a.tif", compression=compression, **({"quality": 98} if compression == "jpeg" else {})
    )
    wanted = np.asarray(picture.convert("RGB") if mode == "P" else picture).astype(int)
    wanted = wanted * (255 if mode == "1" else 1)
    assert np.abs(read(tmp_path / "a.tif") - wanted).max() <= (12 if compression == "jpeg" else 0)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressions(tmp_path, compression):
    picture = Image.fromarray(colours()[..., 0] > 90)
    picture.save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), np.asarray(picture) * 255)


def test_16_bit_lzw(tmp_path):
    """OpenCV writes it, in BGR."""
    import cv2

    cv2.imwrite(str(tmp_path / "a.tif"), colours(np.uint16)[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].compression == 5
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), colours(np.uint16))


@pytest.mark.parametrize("name", ["webp", "png", "jpegxl", "jpeg2000", "jpegxr", "zstd"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_other_compressions_are_read_with_imagecodecs_and_named_without(tmp_path, name, dtype):
    if name == "webp" and dtype == np.uint16:
        pytest.skip("WebP has 8 bits")
    path = tmp_path / "a.tif"
    if not HAS_IMAGECODECS:
        code = {
            "webp": 50001,
            "png": 34933,
            "jpegxl": 50002,
            "jpeg2000": 34712,
            "jpegxr": 22610,
            "zstd": 50000,
        }
        if (name, dtype) == ("zstd", np.uint8):
            pytest.skip("Pillow has Zstandard")
        bits = 8 * np.dtype(dtype).itemsize
        tags = {258: (3, [bits] * 3), 259: (3, [code[name]]), 262: (3, [2]), 277: (3, [3])}
        write_tiff(path, tags, bytes(100))
        title = {"zstd": "Zstandard", "webp": "WebP", "png": "PNG"}.get(name, f"JPEG {name[4:].upper()}")
        with pytest.raises(UserError, match=rf"TIFF with {title} compression; install .*formats") as error:
            read(path)
        assert "\n" not in str(error.value)
        return
    options = {
        "webp": {"lossless": True},
        "jpegxl": {"lossless": True},
        "jpeg2000": {"reversible": True},
        "jpegxr": {"level": 100},
    }
    picture = colours(dtype)
    tifffile.imwrite(
        path, picture, photometric="rgb", compression=name, compressionargs=options.get(name, {})
    )
    apart = np.abs(read(path).astype(int) - picture).max()
    assert apart <= (0.01 * np.iinfo(dtype).max if name == "jpegxr" else 0)


@pytest.mark.skipif(not HAS_IMAGECODECS, reason="needs imagecodecs")
def test_16_bit_lzw_in_planes(tmp_path):
    planes = colours(np.uint16).transpose(2, 0, 1).copy()
    tifffile.imwrite(
        tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", compression="lzw"
    )
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), colours(np.uint16))


@pytest.mark.parametrize("photometric", ["cielab", "two more channels"])
def test_colours_and_channels_that_are_not_read(tmp_path, photometric):
    if photometric == "cielab":
        tifffile.imwrite(tmp_path / "a.tif", colours(), photometric="cielab")
    else:
        stored = np.concatenate([colours(), colours()[..., :2]], axis=2)
        extra = ["unassalpha", "unspecified"]
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=extra)
    with pytest.raises(
        UserError, match=r"is a TIFF of [35] channels and colour type [82]; save it as grey or RGB"
    ):
        read(tmp_path / "a.tif")


def test_numbers_of_no_type_are_numbers(tmp_path):
    """SampleFormat 4, "undefined", which some microscopes and scanners write."""
    tags = {258: (3, [8] * 3), 262: (3, [2]), 277: (3, [3]), 339: (3, [4] * 3)}
    path = write_tiff(tmp_path / "a.tif", tags, colours().tobytes())
    np.testing.assert_array_equal(read(path), colours())


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_floats(tmp_path, photometric, compression):
    values = (colours() / 255).astype(np.float32)
    stored = values if photometric == "rgb" else values[..., 0].copy()
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, compression=compression)
    wanted = 1 - stored if photometric == "miniswhite" else stored
    picture = read(tmp_path / "a.tif")
    assert picture.dtype == np.uint16
    assert np.abs(picture / 65535 - wanted).max() < 1e-5


@pytest.mark.parametrize("compression", [1, 8])
def test_differences_of_floats(tmp_path, compression):
    """Photoshop's predictor 3: bytes of floats by significance, then differences along the row."""
    values = (colours()[..., 0] / 255).astype(">f4")
    planes = values.view(np.uint8).reshape(HEIGHT, WIDTH, 4).transpose(0, 2, 1).reshape(HEIGHT, -1)
    data = np.diff(planes, axis=1, prepend=np.uint8(0)).tobytes()
    if compression == 1:
        values, data = (
            (colours()[..., 0] / 255).astype("<f4"),
            (colours()[..., 0] / 255).astype("<f4").tobytes(),
        )
    else:
        data = zlib.compress(data)
    tags = {258: (3, [32]), 259: (3, [compression]), 262: (3, [1]), 339: (3, [3])}
    tags[317] = (3, [1 if compression == 1 else 3])
    path = write_tiff(tmp_path / "a.tif", tags, data)
    assert np.abs(read(path) / 65535 - values).max() < 1e-5


def test_chroma_without_compression(tmp_path):
    """YCbCr of full resolution, stored plainly."""
    ycc = np.asarray(Image.fromarray(colours()).convert("YCbCr"))
    tags = {258: (3, [8] * 3), 262: (3, [6]), 277: (3, [3]), 530: (3, [1, 1])}
    path = write_tiff(tmp_path / "a.tif", tags, ycc.tobytes())
    assert np.abs(read(path).astype(int) - colours()).max() <= 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_colours_are_divided_by_their_opacity(tmp_path, dtype):
    """Grey 200 at opacity 20 of 255 is stored as 16, which is 204 then, the nearest that 8 bits have."""
    scale = 257 if dtype == np.uint16 else 1
    stored = np.empty((HEIGHT, WIDTH, 4), dtype)
    stored[:] = np.array([16, 16, 16, 20]) * scale
    stored[0] = 0
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    shown = read(tmp_path / "a.tif")
    assert (shown[0] == 0).all()
    assert (shown[1:] == np.array([204, 204, 204, 20]) * scale).all()
    write_image(tmp_path / "b.tif", shown)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].extrasamples == (2,)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_selection_is_no_opacity(tmp_path, channels):
    selection = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    selection[10:20, 10:20] = 255
    stored = np.concatenate([colours()[..., :channels], selection], axis=2)
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric=photometric,
        extrasamples=["unspecified"],
        planarconfig="contig",
    )
    picture, form = read_with_form(tmp_path / "a.tif")
    for metadata in (form.metadata, form.metadata.without_words()):
        write_image(tmp_path / "b.tif", form.shape(to_float(picture)), metadata=metadata)
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            assert file.pages[0].extrasamples == (0,)
            np.testing.assert_array_equal(file.pages[0].asarray(), stored)
        write_image(tmp_path / "b.png", form.shape(to_float(picture)), metadata=metadata)
        with Image.open(tmp_path / "b.png") as image:
            assert image.mode == ("RGB" if channels == 3 else "L")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_opacity_stays_grey_with_opacity(tmp_path, dtype):
    stored = np.ascontiguousarray(colours(dtype)[..., :2])
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="minisblack",
        extrasamples=["unassalpha"],
        planarconfig="contig",
    )
    picture, form = read_with_form(tmp_path / "a.tif")
    assert form.grey
    write_image(tmp_path / "b.tif", form.shape(to_float(picture)), metadata=form.metadata)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert (file.pages[0].photometric, file.pages[0].extrasamples) == (1, (2,))
        np.testing.assert_array_equal(file.pages[0].asarray(), stored)


def test_of_several_pages_the_first_is_read_and_the_others_are_told(tmp_path):
    pages = [Image.fromarray(colours()), Image.fromarray(255 - colours())]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    picture, form = read_with_form(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture, colours())
    assert form.notes == ("holds 2 pictures (pages); the first one is restored",)


def test_a_thumbnail_before_the_picture_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(colours()[::4, ::4].copy(), photometric="rgb", subfiletype=1, metadata=None)
        file.write(colours(), photometric="rgb", metadata=None)
    picture, form = read_with_form(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture, colours())
    assert form.notes == ()


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_cmyk_is_converted_by_its_profile(tmp_path, compression, cmyk_profile):
    inks = np.dstack([colours(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    Image.fromarray(inks, "CMYK").save(tmp_path / "a.tif", compression=compression, icc_profile=cmyk_profile)
    picture, form = read_with_form(tmp_path / "a.tif")
    assert np.abs(picture.astype(int) - (255 - colours())).max() <= 3  # this profile's inks are plain
    assert form.notes == ("is a CMYK picture, converted to sRGB by its profile",)
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(_open(form.metadata.icc)))


def _open(data):
    import io

    return io.BytesIO(data)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_strip_that_is_not_there_is_no_black_picture(tmp_path, bits):
    tags = {258: (3, [bits] * 3), 262: (3, [2]), 277: (3, [3])}
    path = write_tiff(tmp_path / "a.tif", tags, b"")
    with pytest.raises(UserError, match="broken or cut short"):
        read(path)


@pytest.mark.skipif(not HAS_IMAGECODECS, reason="this process has no imagecodecs already")
def test_the_same_without_imagecodecs():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "WITHOUT_IMAGECODECS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
