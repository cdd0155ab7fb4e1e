"""JPEG: names, chroma, Adobe RGB by tags, gain maps, CMYK. Pillow says what the written files hold."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.JpegImagePlugin import get_sampling

from paddle_restore.data.image import read_with_form, to_float, write_image

HEIGHT, WIDTH = 32, 48
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def smooth():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([60 + x * 3, 60 + y * 4, 200 - x * 2]).astype(np.uint8)


def restored(path, output, **options):
    picture, form = read_with_form(path)
    write_image(output, form.shape(to_float(picture)), metadata=form.metadata, **options)
    return output


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".JPG", ".JFIF"])
def test_every_name_of_a_jpeg(tmp_path, suffix):
    Image.fromarray(smooth()).save(tmp_path / f"a{suffix}", "JPEG", quality=98)
    assert np.abs(read_with_form(tmp_path / f"a{suffix}")[0].astype(int) - smooth()).max() <= 4
    with Image.open(restored(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}")) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_chroma_is_sampled_like_the_file(tmp_path, sampling):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=95, subsampling=sampling)
    with Image.open(restored(tmp_path / "a.jpg", tmp_path / "b.jpg")) as image:
        assert get_sampling(image) == SAMPLINGS[sampling]


def test_chroma_from_other_formats_is_full(tmp_path):
    stripes = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stripes[:, ::2], stripes[:, 1::2] = (0, 128, 255), (255, 127, 0)
    Image.fromarray(stripes).save(tmp_path / "a.png")
    with Image.open(restored(tmp_path / "a.png", tmp_path / "b.jpg")) as image:
        assert get_sampling(image) == 0
        assert np.abs(np.asarray(image).astype(int) - stripes).max() <= 12


def adobe_exif(colour_space, index):
    """EXIF of a camera by DCF 2.0: ColorSpace in the EXIF directory, R03 or R98 in Interoperability."""
    below = 8 + 2 + 12 + 4
    interoperability = below + 2 + 2 * 12 + 4
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + struct.pack("<HHII", 34665, 4, 1, below) + bytes(4)
    data += struct.pack("<H", 2) + struct.pack("<HHIHH", 40961, 3, 1, colour_space, 0)
    data += struct.pack("<HHII", 40965, 4, 1, interoperability) + bytes(4)
    data += struct.pack("<H", 2) + struct.pack("<HHI4s", 1, 2, 4, index + b"\0")
    return data + struct.pack("<HHI4s", 2, 7, 4, b"0100") + bytes(4)


def decode_adobe(values):
    return (values / 255) ** (563 / 256)


ADOBE_TO_SRGB = np.array(
    [[1.3983557, -0.3983557, 0.0], [0.0, 1.0, 0.0], [0.0, -0.0429290, 1.0429290]]
)  # from the primaries of Adobe RGB (1998), 4.3.1.2


@pytest.mark.parametrize("colour_space", [65535, 2])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_adobe_rgb_that_only_the_tags_say(tmp_path, colour_space, suffix):
    exif = b"Exif\0\0" + adobe_exif(colour_space, b"R03")
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    with Image.open(restored(tmp_path / "a.jpg", tmp_path / f"b{suffix}")) as image:
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        wanted = ImageCms.createProfile("sRGB")
        seen = np.asarray(ImageCms.profileToProfile(image, source, wanted, 1, "RGB"))
    light = np.clip(decode_adobe(smooth()) @ ADOBE_TO_SRGB.T, 0, 1)
    shown = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    inside = (shown > 60).all(axis=2) & (shown < 250).all(axis=2)
    assert inside.mean() > 0.5
    assert np.abs(seen - shown)[inside].max() <= (8 if suffix == ".jpg" else 4)


@pytest.mark.parametrize(("colour_space", "index"), [(1, b"R98"), (65535, b"R98"), (1, b"R03")])
def test_other_tags_make_no_profile(tmp_path, colour_space, index):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + adobe_exif(colour_space, index))
    assert read_with_form(tmp_path / "a.jpg")[1].metadata.icc == b""


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize(
    "segments",
    [
        segment(
            0xE1, b'http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
        ),
        segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)),
    ],
)
def test_a_gain_map_is_left_out_and_told(tmp_path, segments):
    base, gain = io.BytesIO(), io.BytesIO()
    Image.fromarray(smooth()).save(base, "JPEG", quality=98)
    Image.fromarray(smooth()[::2, ::2, 0]).save(gain, "JPEG")
    data = base.getvalue()
    (tmp_path / "a.jpg").write_bytes(data[:2] + segments + data[2:] + gain.getvalue())
    picture, form = read_with_form(tmp_path / "a.jpg")
    assert np.abs(picture.astype(int) - smooth()).max() <= 4
    assert [note for note in form.notes if "gain map" in note] == list(form.notes) != []


def test_apples_gain_map_is_told(tmp_path):
    base, gain = io.BytesIO(), io.BytesIO()
    Image.fromarray(smooth()).save(base, "JPEG", quality=98)
    Image.fromarray(smooth()[::2, ::2, 0]).save(gain, "JPEG")
    xmp = b"http://ns.adobe.com/xap/1.0/\0<HDRGainMap:HDRGainMapVersion>65536</HDRGainMap:HDRGainMapVersion>"
    second = gain.getvalue()
    (tmp_path / "a.jpg").write_bytes(base.getvalue() + second[:2] + segment(0xE1, xmp) + second[2:])
    assert len(read_with_form(tmp_path / "a.jpg")[1].notes) == 1


def test_a_plain_jpeg_has_nothing_to_tell(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg")
    assert read_with_form(tmp_path / "a.jpg")[1].notes == ()


def test_cmyk_is_converted_by_its_profile(tmp_path, cmyk_profile):
    """Pillow writes inks as Adobe does, inverted."""
    inks = np.dstack([smooth(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    Image.fromarray(inks, "CMYK").save(
        tmp_path / "a.jpg", quality=100, icc_profile=cmyk_profile, subsampling=0
    )
    picture, form = read_with_form(tmp_path / "a.jpg")
    assert np.abs(picture.astype(int) - (255 - smooth())).max() <= 5
    assert form.notes == ("is a CMYK picture, converted to sRGB by its profile",)
    with Image.open(restored(tmp_path / "a.jpg", tmp_path / "b.jpg")) as image:
        assert image.mode == "RGB"
        assert "sRGB" in ImageCms.getProfileDescription(
            ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        )
