"""PNG: what Pillow and OpenCV leave out. The files are made chunk by chunk, the colours computed by hand."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from paddle_restore.data.image import image_size, read_with_form, to_float, write_image
from paddle_restore.data.metadata import EXIF, read_block

HEIGHT, WIDTH = 6, 8
GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(path, values, colour_type, depth, *chunks):
    """Write integers (H, W, C) as they are, without filter."""
    height, width = values.shape[:2]
    if depth == 16:
        rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        rows = values.astype(np.uint8).reshape(height, -1)
    else:
        places = np.arange(8 // depth)[::-1] * depth
        rows = (values.reshape(height, -1, 8 // depth) << places).sum(axis=2).astype(np.uint8)
    data = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*one) for one in chunks)]
    path.write_bytes(
        b"".join([b"\x89PNG\r\n\x1a\n", *parts, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")])
    )
    return path


def chunks_of(path):
    data, place, found = path.read_bytes(), 8, {}
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        found[data[place + 4 : place + 8]] = data[place + 8 : place + 8 + length]
        place += 12 + length
    return found


def restored(path, output):
    """Write what was read, as a network that changes nothing does."""
    picture, form = read_with_form(path)
    write_image(output, form.shape(to_float(picture)), metadata=form.metadata)
    return output


def values_of(channels, depth):
    return np.random.default_rng(depth).integers(0, 2**depth, (HEIGHT, WIDTH, channels))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_transparent_grey(tmp_path, depth):
    values = values_of(1, depth)
    values[2, 3], values[0, 0] = 1, 0
    path = write_png(tmp_path / "a.png", values, GREY, depth, (b"tRNS", struct.pack(">H", 1)))
    picture, form = read_with_form(path)
    scale = (255 if depth < 16 else 65535) // (2**depth - 1)
    np.testing.assert_array_equal(picture, (values * scale).repeat(3, axis=2))
    np.testing.assert_array_equal(form.alpha == 0, values[..., 0] == 1)
    assert set(np.unique(form.alpha)) <= {0, np.iinfo(picture.dtype).max}
    assert form.grey


@pytest.mark.parametrize("depth", [8, 16])
def test_one_transparent_colour(tmp_path, depth):
    values = values_of(3, depth)
    values[2, 3] = (1, 2, 3)
    path = write_png(tmp_path / "a.png", values, RGB, depth, (b"tRNS", struct.pack(">3H", 1, 2, 3)))
    picture, form = read_with_form(path)
    np.testing.assert_array_equal(picture, values)
    np.testing.assert_array_equal(form.alpha == 0, (values == (1, 2, 3)).all(axis=2))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_with_opacity_keeps_its_profile(tmp_path, depth, suffix):
    values = values_of(2, depth)
    profile = _grey_profile()
    content = b"name\0\0" + zlib.compress(profile)
    path = write_png(tmp_path / "a.png", values, GREY_ALPHA, depth, (b"iCCP", content))
    output = restored(path, tmp_path / f"b{suffix}")
    picture, form = read_with_form(output)
    np.testing.assert_array_equal(form.shape(picture), values)
    if suffix == ".tif":
        with tifffile.TiffFile(output) as file:
            assert file.pages[0].tags[34675].value == profile
            np.testing.assert_array_equal(file.pages[0].asarray(), values)
        return
    with Image.open(output) as image:
        assert image.info["icc_profile"] == profile
        if depth == 8:
            assert image.mode == "LA"
            np.testing.assert_array_equal(np.asarray(image), values)
    assert chunks_of(output)[b"IHDR"][8:10] == bytes([depth, GREY_ALPHA])


def _grey_profile():
    """A profile of one channel by hand: gamma 1."""
    name = b"linear grey\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"kTRC": b"curv" + bytes(8),
    }
    start, entries, data = 132 + 12 * len(tags), b"", b""
    for signature, content in tags.items():
        entries += signature + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = (struct.pack(">I4xI", start + len(data), 0x02400000) + b"mntrGRAYXYZ ").ljust(
        36, b"\0"
    ) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + data


CHROMATICITIES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)  # P3's


@pytest.mark.parametrize(
    "chunks",
    [
        {b"cICP": bytes([12, 13, 0, 1])},
        {b"gAMA": struct.pack(">I", 100000)},
        {b"gAMA": struct.pack(">I", 45455), b"cHRM": CHROMATICITIES},
        {b"sRGB": b"\0", b"gAMA": struct.pack(">I", 45455)},
    ],
    ids=lambda chunks: "+".join(map(bytes.decode, chunks)),
)
@pytest.mark.parametrize("colour_type", [GREY, RGB, RGB_ALPHA, GREY_ALPHA])
def test_chunks_of_colours_go_along(tmp_path, chunks, colour_type):
    channels = {GREY: 1, RGB: 3, RGB_ALPHA: 4, GREY_ALPHA: 2}[colour_type]
    path = write_png(tmp_path / "a.png", values_of(channels, 8), colour_type, 8, *chunks.items())
    written = chunks_of(restored(path, tmp_path / "b.png"))
    assert {kind: written.get(kind) for kind in chunks} == chunks


def to_srgb(path):
    """The colours that a program shows which knows profiles, but no chunks of PNG."""
    with Image.open(path) as image:
        image.load()
        profile = image.info.get("icc_profile")
        if not profile:
            return np.asarray(image.convert("RGB"))
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        wanted = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        return np.asarray(ImageCms.profileToProfile(image, source, wanted, intent, "RGB"))


def decode_srgb(values):
    values = values / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode_srgb(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


P3_TO_SRGB = np.array(
    [[1.2249402, -0.2249404, 0.0], [-0.0420570, 1.0420571, 0.0], [-0.0196376, -0.0786361, 1.0982735]]
)


@pytest.mark.parametrize("suffix", [".tif", ".webp", ".png"])
@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        ([(b"cICP", bytes([12, 13, 0, 1]))], lambda v: encode_srgb(decode_srgb(v) @ P3_TO_SRGB.T)),
        ([(b"gAMA", struct.pack(">I", 100000))], lambda v: encode_srgb(v / 255)),
        (
            [(b"gAMA", struct.pack(">I", 50000)), (b"cHRM", CHROMATICITIES)],
            lambda v: encode_srgb((v / 255) ** 2 @ P3_TO_SRGB.T),
        ),
        ([(b"gAMA", struct.pack(">I", 45455))], lambda v: v),
        ([(b"sRGB", b"\0")], lambda v: v),
    ],
)
def test_other_formats_get_a_profile_of_the_same_colours(tmp_path, suffix, chunks, shown):
    values = values_of(3, 8) // 2 + 64  # inside sRGB
    values[..., 1] = values[..., 0] // 2 + values[..., 1] // 2
    path = write_png(tmp_path / "a.png", values, RGB, 8, *chunks)
    if suffix == ".png" and chunks[0][0] != b"cICP":
        return  # it has the chunks themselves
    seen = to_srgb(restored(path, tmp_path / f"b{suffix}"))
    assert np.abs(seen - np.clip(shown(values), 0, 255)).max() <= 1.6


def test_grey_with_a_gamma_gets_a_profile(tmp_path):
    values = np.maximum(values_of(1, 8), 32)  # LittleCMS is not exact below
    path = write_png(tmp_path / "a.png", values, GREY, 8, (b"gAMA", struct.pack(">I", 100000)))
    seen = to_srgb(restored(path, tmp_path / "b.tif"))
    assert np.abs(seen - encode_srgb(values / 255)).max() <= 1.6


def test_chunks_that_say_nonsense_are_no_mistake(tmp_path):
    for kind, content in (
        (b"cHRM", bytes(32)), (b"gAMA", bytes(4)), (b"cICP", b"\xff\xff\0\1"), (b"cICP", b"x"),
    ):  # fmt: skip
        path = write_png(tmp_path / "a.png", values_of(3, 8), RGB, 8, (kind, content))
        assert read_with_form(path)[1].metadata.icc == b""


@pytest.mark.parametrize("kind", ["exif", "APP1"])
def test_exif_in_a_text_of_imagemagick(tmp_path, kind):
    """Its letters stand for bytes; its orientation is applied."""
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    exif[34665] = {34855: 800}
    block = exif.tobytes()
    block = block if block.startswith(b"Exif") else b"Exif\0\0" + block
    digits = block.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = f"\n{kind.lower()}\n{len(block):8d}\n{lines}\n".encode()
    name = f"Raw profile type {kind}".encode()
    path = write_png(
        tmp_path / "a.png", values_of(3, 8), RGB, 8, (b"zTXt", name + b"\0\0" + zlib.compress(text))
    )
    picture, form = read_with_form(path)
    assert image_size(path) == picture.shape[:2] == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(picture, np.rot90(values_of(3, 8), -1))
    found = read_block(form.metadata.exif)
    assert found[EXIF][34855] == 800


def test_an_orientation_that_only_xmp_says(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    content = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
    path = write_png(tmp_path / "a.png", values_of(3, 8), RGB, 8, (b"iTXt", content))
    np.testing.assert_array_equal(read_with_form(path)[0], values_of(3, 8)[::-1, ::-1])
