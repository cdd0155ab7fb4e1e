"""HEIC, AVIF, JPEG XL and JPEG 2000: pixels, depth, opacity, colours, orientation, and what is said of them.

The HEIC files in tests/data/files were encoded from `colours` by pillow-heif, which the tests do not need.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from paddle_restore.data.formats import START, format_of_bytes
from paddle_restore.data.image import image_size, read_with_form, to_float, write_image
from paddle_restore.data.metadata import MAIN, read_block
from paddle_restore.errors import UserError
from tests.conftest import ROOT

FILES = Path(__file__).with_name("files")
HEIGHT, WIDTH = 48, 64
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

needs_heif = pytest.mark.skipif(
    not any(find_spec(name) for name in ("pi_heif", "pillow_heif")),
    reason="no wheel of pi-heif here",
)
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def colours(depth=8):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    if depth == 8:
        return np.dstack([x * 4, y * 5, 255 - x * 4]).astype(np.uint8)
    top = 2**depth - 1
    return np.dstack([x * top // 63, y * top // 47, top - x * top // 63]).astype(np.uint16)


@needs_heif
def test_heic_is_upright_and_keeps_exif_and_profile(tmp_path):
    path = FILES / "upright_6.heic"
    picture, form = read_with_form(path)
    assert image_size(path) == picture.shape[:2] == (WIDTH, HEIGHT)
    assert np.abs(picture.astype(int) - np.rot90(colours(), -1)).mean() < 1.5
    assert (form.depth, form.alpha, form.notes) == (8, None, ())
    write_image(tmp_path / "a.jpg", form.shape(to_float(picture)), metadata=form.metadata)
    with Image.open(tmp_path / "a.jpg") as image:
        exif = image.getexif()
        assert (exif[271], exif[274], exif.get_ifd(34665)[33434]) == ("Maker", 1, 0.01)
        assert b"H.273 12/13" in image.info["icc_profile"]


@needs_heif
def test_heic_of_10_bits_becomes_16(tmp_path):
    picture, form = read_with_form(FILES / "10_bits.heic")
    assert (picture.dtype, form.depth) == (np.uint16, 16)
    assert picture.max() == 65535
    assert np.abs(picture / 65535 - colours(10) / 1023).mean() < 0.005
    assert len(np.unique(picture)) > 256


@needs_heif
def test_heic_with_opacity():
    picture, form = read_with_form(FILES / "alpha.heic")
    assert np.abs(form.alpha.astype(int) - colours()[..., 0]).mean() < 1.5
    assert np.abs(picture.astype(int) - colours())[form.alpha > 0].mean() < 3


@needs_heif
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_heic_cut_short_is_one_line(tmp_path, share):
    data = (FILES / "upright_6.heic").read_bytes()
    (tmp_path / "a.heic").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match="cut short"):
        read_with_form(tmp_path / "a.heic")


def test_without_a_decoder_the_line_names_the_package():
    code = (
        "import sys\nfor name in ('pi_heif', 'pillow_heif', 'imagecodecs'): sys.modules[name] = None\n"
        "from paddle_restore.data.image import read_image\n"
        f"try: read_image({str(FILES / 'alpha.heic')!r})\nexcept Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.rstrip().endswith(
        "alpha.heic: is a HEIC picture; install pi-heif to read it (pip install pi-heif)"
    )


@needs_avif
def test_avif_is_read_and_written(tmp_path):
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    Image.fromarray(colours()).save(
        tmp_path / "a.avif", quality=95, subsampling="4:4:4", exif=exif, icc_profile=PROFILE
    )
    picture, form = read_with_form(tmp_path / "a.avif")
    assert image_size(tmp_path / "a.avif") == picture.shape[:2] == (WIDTH, HEIGHT)
    assert np.abs(picture.astype(int) - np.rot90(colours(), -1)).mean() < 2
    write_image(tmp_path / "b.avif", form.shape(to_float(picture)), metadata=form.metadata)
    with Image.open(tmp_path / "b.avif") as image:
        assert np.abs(np.asarray(image).astype(int) - picture).mean() < 2
        assert image.info["icc_profile"] == PROFILE
        assert (image.getexif()[271], image.getexif().get(274, 1)) == ("Maker", 1)


@needs_avif
def test_avif_keeps_its_opacity(tmp_path):
    rgba = np.dstack([colours(), colours()[..., 0]])
    write_image(tmp_path / "a.avif", rgba, quality=95)
    _, form = read_with_form(tmp_path / "a.avif")
    assert np.abs(form.alpha.astype(int) - colours()[..., 0]).mean() < 2


@needs_avif
@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (12, 13), (9, 16)])
def test_colours_that_avif_names(tmp_path, primaries, transfer):
    """The box colr of the written file is changed by hand."""
    Image.fromarray(colours()).save(tmp_path / "a.avif", quality=95)
    data = (tmp_path / "a.avif").read_bytes()
    place = data.index(b"colrnclx") + 8
    (tmp_path / "a.avif").write_bytes(
        data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]
    )
    form = read_with_form(tmp_path / "a.avif")[1]
    assert bool(form.metadata.icc) == (primaries == 12)
    assert [note for note in form.notes if "no ICC profile" in note] == list(form.notes)
    assert bool(form.notes) == (transfer == 16)


@needs_avif
@pytest.mark.parametrize("depth", [10, 12])
def test_avif_of_more_bits(tmp_path, depth):
    codecs = pytest.importorskip("imagecodecs")
    (tmp_path / "a.avif").write_bytes(codecs.avif_encode(colours(depth), level=95, bitspersample=depth))
    picture, form = read_with_form(tmp_path / "a.avif")
    assert (form.depth, form.notes) == (16, ())
    assert np.abs(picture / 65535 - colours(depth) / (2**depth - 1)).mean() < 0.005


@needs_avif
def test_avif_of_more_bits_without_imagecodecs_says_so(tmp_path, monkeypatch):
    codecs = pytest.importorskip("imagecodecs")
    (tmp_path / "a.avif").write_bytes(codecs.avif_encode(colours(10), level=95, bitspersample=10))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    picture, form = read_with_form(tmp_path / "a.avif")
    assert (picture.dtype, form.depth) == (np.uint8, 8)
    assert form.notes[0].startswith("has 10 bits, of which 8 are read; install imagecodecs")


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_jpeg_2000(tmp_path, mode):
    full = np.dstack([colours(), colours()[..., 0]])
    stored = {"L": full[..., 0], "LA": full[..., [0, 1]], "RGB": full[..., :3], "RGBA": full}[mode]
    stored = np.ascontiguousarray(stored)
    for name in ("a.jp2", "a.j2k"):
        Image.fromarray(stored).save(tmp_path / name, "JPEG2000", irreversible=False)
        picture, form = read_with_form(tmp_path / name)
        np.testing.assert_array_equal(form.shape(picture), stored)


@pytest.mark.parametrize("depth", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_of_more_bits(tmp_path, depth, channels):
    codecs = pytest.importorskip("imagecodecs")
    stored = np.dstack([colours(depth), colours(depth)[..., 0]])[..., : channels if channels > 1 else 1]
    stored = stored[..., 0] if channels == 1 else stored
    (tmp_path / "a.jp2").write_bytes(
        codecs.jpeg2k_encode(
            np.ascontiguousarray(stored), reversible=True, codecformat="jp2", bitspersample=depth
        )
    )
    picture, form = read_with_form(tmp_path / "a.jp2")
    np.testing.assert_allclose(form.shape(picture), stored * (65535 / (2**depth - 1)), atol=0.51)


def box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def test_jpeg_2000_keeps_profile_and_exif(tmp_path):
    encoded = io.BytesIO()
    Image.fromarray(colours()).save(encoded, "JPEG2000", irreversible=False)
    data = encoded.getvalue()
    stream = data[data.index(b"\xff\x4f\xff\x51") :]
    exif = b"II*\0\x08\0\0\0" + struct.pack("<HHHI4s", 1, 271, 2, 4, b"Mak\0") + bytes(4)
    size = struct.pack(">IIHBBBB", HEIGHT, WIDTH, 3, 7, 7, 0, 0)
    (tmp_path / "a.jp2").write_bytes(
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", box(b"ihdr", size) + box(b"colr", b"\2\0\0" + PROFILE))
        + box(b"uuid", b"JpgTiffExif->JP2" + exif)
        + box(b"jp2c", stream)
    )
    picture, form = read_with_form(tmp_path / "a.jp2")
    np.testing.assert_array_equal(picture, colours())
    assert form.metadata.icc == PROFILE
    assert read_block(form.metadata.exif)[MAIN][271] == "Mak"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_a_jpeg_2000_cut_short_is_one_line(tmp_path, share):
    encoded = io.BytesIO()
    Image.fromarray(colours()).save(encoded, "JPEG2000", irreversible=False)
    (tmp_path / "a.jp2").write_bytes(encoded.getvalue()[: int(len(encoded.getvalue()) * share)])
    with pytest.raises(UserError, match=r"cut short|holds no"):
        read_with_form(tmp_path / "a.jp2")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("depth", [8, 10, 16])
@pytest.mark.parametrize("container", [False, True])
def test_jpeg_xl(tmp_path, channels, depth, container):
    codecs = pytest.importorskip("imagecodecs")
    full = np.dstack([colours(depth), colours(depth)[..., 1]])[5:, 3:]  # odd sides
    stored = {1: full[..., 0], 2: full[..., [0, 1]], 3: full[..., :3], 4: full}[channels]
    data = codecs.jpegxl_encode(
        np.ascontiguousarray(stored), lossless=True, bitspersample=depth, usecontainer=container
    )
    (tmp_path / "a.jxl").write_bytes(data)
    picture, form = read_with_form(tmp_path / "a.jxl")
    assert image_size(tmp_path / "a.jxl") == stored.shape[:2]
    top = 255 if depth == 8 else 65535
    np.testing.assert_allclose(form.shape(picture), stored * (top / (2**depth - 1)), atol=0.51)


def test_a_jpeg_in_a_jpeg_xl_is_that_jpeg(tmp_path):
    codecs = pytest.importorskip("imagecodecs")
    Image.fromarray(colours()).save(tmp_path / "a.jpg", quality=90, subsampling=0, icc_profile=PROFILE)
    (tmp_path / "a.jxl").write_bytes(codecs.jpegxl_encode_jpeg((tmp_path / "a.jpg").read_bytes()))
    picture, form = read_with_form(tmp_path / "a.jxl")
    np.testing.assert_array_equal(picture, read_with_form(tmp_path / "a.jpg")[0])
    assert form.metadata.icc == PROFILE


@pytest.mark.parametrize("orientation", range(2, 9))
def test_jpeg_xl_is_turned_by_its_header(tmp_path, orientation):
    codecs = pytest.importorskip("imagecodecs")
    stored = colours()[:40]
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[orientation]
    shown = np.asarray(Image.fromarray(stored).transpose(Image.Transpose(method)))
    data = with_orientation(codecs.jpegxl_encode(stored, lossless=True), orientation, codecs, shown)
    (tmp_path / "a.jxl").write_bytes(data)
    np.testing.assert_array_equal(read_with_form(tmp_path / "a.jxl")[0], shown)
    assert image_size(tmp_path / "a.jxl") == shown.shape[:2]


def with_orientation(data, orientation, codecs, shown):
    """Insert the orientation into the header of a bare codestream of 64x40 pixels.

    Where the header ends is not known: all places are tried until libjxl shows the turned picture.
    """
    bits = "".join(f"{byte:08b}"[::-1] for byte in data[2:])
    place = 1 + 5 + 3 + (0 if bits[6:9] != "000" else 5)  # after the size, which has the short form
    assert bits[0] == "1"
    # Not at defaults, no extra fields; 8-bit integers, small buffers, no more channels, no XYB, sRGB.
    assert bits[place : place + 10] == "0000010001"
    fields = "1" + f"{orientation - 1:03b}"[::-1] + "000"
    for end in range(place // 8 * 8 + 8, 200, 8):
        for padding in range(8):
            header = bits[: place + 1] + fields + bits[place + 2 : place + 10]
            header += "1" + bits[place + 10 : end - padding]  # a plain tone mapping, one of the extra fields
            whole = header + "0" * (-len(header) % 8) + bits[end:]
            made = data[:2] + bytes(int(whole[at : at + 8][::-1], 2) for at in range(0, len(whole), 8))
            try:
                turned = codecs.jpegxl_decode(made)
            except Exception:
                continue
            if turned.shape == shown.shape and (turned == shown).all():
                return made
    raise AssertionError("no place for the orientation")


def test_jpeg_xl_of_floats_is_refused(tmp_path):
    codecs = pytest.importorskip("imagecodecs")
    data = codecs.jpegxl_encode(colours().astype(np.float32) / 255, lossless=True)
    (tmp_path / "a.jxl").write_bytes(data)
    with pytest.raises(UserError, match="is a JPEG XL of 32-bit numbers"):
        read_with_form(tmp_path / "a.jxl")


def test_jpeg_xl_with_a_profile_of_its_own_is_refused(tmp_path):
    """The header's bits by hand: 16x16; not at defaults; 8 bits; colours not sRGB, but of an ICC profile."""
    pytest.importorskip("imagecodecs")
    size, metadata, colour = (
        "1" + "10000" + "100",
        "0" + "0" + "0" + "00" + "1" + "00" + "0",
        "0" + "1" + "00",
    )
    bits = (size + metadata + colour).ljust(256, "0")
    data = b"\xff\x0a" + bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, 256, 8))
    (tmp_path / "a.jxl").write_bytes(data)
    with pytest.raises(UserError, match="is a JPEG XL with an ICC profile"):
        image_size(tmp_path / "a.jxl")


@needs_avif
def test_animations_are_refused(tmp_path):
    pictures = [Image.fromarray(colours()), Image.fromarray(255 - colours())]
    pictures[0].save(tmp_path / "a.avif", save_all=True, append_images=pictures[1:])
    with pytest.raises(UserError, match="is an animated AVIF"):
        read_with_form(tmp_path / "a.avif")


def test_no_wheel_no_jpeg_xl(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    with pytest.raises(
        UserError, match=r"is a JPEG XL picture; install imagecodecs .*paddle_restore\[formats\]"
    ):
        read_with_form(tmp_path / "a.jxl")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "avif"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", None),
        (b"\0\0\0\x18ftypisom\0\0\0\1isommp41", None),
    ],
)
def test_files_of_boxes_are_told_apart(start, name):
    found = format_of_bytes(start.ljust(START, b"\0"))
    assert (found.name if found else None) == name
