"""Colour profile and EXIF go along, and pictures are upright; Pillow and tifffile say so independently."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest

from paddle_restore.data.image import image_size, read_with_form, to_float, write_image
from paddle_restore.data.metadata import Metadata, raw_metadata
from paddle_restore.data.synthetic.dng import dng_bytes
from paddle_restore.data.tags import Tag, pack, pack_block, read_block, short

Image = pytest.importorskip("PIL.Image")
ImageCms = pytest.importorskip("PIL.ImageCms")
ImageOps = pytest.importorskip("PIL.ImageOps")

HEIGHT, WIDTH = 24, 40
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def upright():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([x * 6, y * 10, np.full_like(x, 100), 50 + y * 5]).astype(np.uint8)


def lying(picture, orientation):
    """What a camera held like that stores: the inverse of what Pillow does to show it."""
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    image = Image.fromarray(picture)
    return image if method is None else image.transpose(Image.Transpose(method))


def block(orientation, size):
    exif = Image.Exif()
    exif[271], exif[274], exif[282], exif[283], exif[296] = "Maker", orientation, 300.0, 300.0, 2
    exif[34665] = {33434: 0.01, 37500: b"note" * 20, 40962: size[0], 40963: size[1], 36864: b"0232"}
    exif[34853] = {1: "N", 2: (48.0, 8.0, 3.0)}
    data = exif.tobytes()
    return data[6:] if data.startswith(b"Exif") else data


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def store(path, orientation, alpha, deep=False):
    image = lying(upright()[..., : 3 + alpha], orientation)
    exif = block(orientation, image.size)
    if deep:
        pixels = cv2.imencode(
            ".png", np.asarray(image)[..., [2, 1, 0, 3][: 3 + alpha]].astype(np.uint16) * 257
        )
        data = pixels[1].tobytes()
        profile = chunk(b"iCCP", b"name\0\0" + zlib.compress(PROFILE))
        path.write_bytes(data[:33] + profile + chunk(b"eXIf", exif) + data[33:])
        return
    options = {".jpg": {"quality": 99, "subsampling": 0}, ".webp": {"lossless": True, "exact": True}}
    if path.suffix == ".jpg":
        exif = b"Exif\0\0" + exif
    elif path.suffix == ".tif":
        exif = Image.Exif()
        exif.load(block(orientation, image.size))
    image.save(path, exif=exif, icc_profile=PROFILE, **options.get(path.suffix, {}))


SOURCES = [(".png", 0), (".png", 1), (".jpg", 0), (".tif", 0), (".tif", 1), (".webp", 0), (".webp", 1)]


@pytest.mark.parametrize(
    ("suffix", "alpha", "deep"), [(*s, False) for s in SOURCES] + [(".png", 0, True), (".png", 1, True)]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_upright(tmp_path, suffix, alpha, deep, orientation):
    path = tmp_path / f"a{suffix}"
    store(path, orientation, alpha, deep)
    picture, form = read_with_form(path)
    scale = 257 if deep else 1
    assert image_size(path) == picture.shape[:2] == (HEIGHT, WIDTH)
    assert np.abs(picture / scale - upright()[..., :3]).max() <= (6 if suffix == ".jpg" else 0)
    if alpha:
        np.testing.assert_array_equal(form.alpha, upright()[..., 3] * np.float64(scale))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_tiff_is_turned_by_its_tag(tmp_path, order, bigtiff, dtype):
    tifffile = pytest.importorskip("tifffile")
    for orientation in (3, 5, 6):
        stored = np.asarray(lying(upright(), orientation)).astype(dtype)
        tifffile.imwrite(
            tmp_path / "a.tif",
            stored,
            photometric="rgb",
            extrasamples=["unassalpha"],
            byteorder=order,
            bigtiff=bigtiff,
            iccprofile=PROFILE,
            extratags=[(274, 3, 1, orientation, True), (271, 2, 6, "Maker", True)],
        )
        picture, form = read_with_form(tmp_path / "a.tif")
        np.testing.assert_array_equal(np.dstack([picture, form.alpha]), upright())
        assert form.metadata.icc == PROFILE
        write_image(tmp_path / "b.tif", form.shape(to_float(picture)), metadata=form.metadata)
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            tags = file.pages[0].tags
            assert (tags[274].value, tags[271].value, tags[34675].value) == (1, "Maker", PROFILE)
        np.testing.assert_array_equal(read_with_form(tmp_path / "b.tif")[0], picture)


@pytest.mark.parametrize("target", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize(("suffix", "alpha"), SOURCES)
def test_metadata_go_along_from_every_format_to_every_other(tmp_path, suffix, alpha, target):
    store(tmp_path / f"a{suffix}", 6, alpha)
    picture, form = read_with_form(tmp_path / f"a{suffix}")
    write_image(tmp_path / f"b{target}", form.shape(to_float(picture)), metadata=form.metadata)
    with Image.open(tmp_path / f"b{target}") as image:
        exif = image.getexif()
        assert image.info["icc_profile"] == PROFILE
        assert (exif[271], exif[274], exif[282]) == ("Maker", 1, 300)
        below, place = exif.get_ifd(34665), exif.get_ifd(34853)
        assert (below[33434], below[36864], below[40962], below[40963]) == (0.01, b"0232", WIDTH, HEIGHT)
        assert 37500 not in below  # the maker's note
        assert (place[1], place[2]) == ("N", (48, 8, 3))
        if target != ".webp":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    assert np.abs(shown[..., :3].astype(int) - upright()[..., :3]).max() <= (
        20 if ".jpg" in (suffix, target) else 0
    )
    if alpha and target != ".jpg":
        np.testing.assert_array_equal(shown[..., 3], upright()[..., 3])
    again = read_with_form(tmp_path / f"b{target}")[1].metadata
    assert (again.icc, read_block(again.exif)[34853]) == (PROFILE, read_block(form.metadata.exif)[34853])


@pytest.mark.parametrize("target", [".png", ".jpg", ".tif", ".webp"])
def test_nothing_goes_along_unless_asked(tmp_path, target):
    store(tmp_path / "a.jpg", 1, 0)
    picture, _ = read_with_form(tmp_path / "a.jpg")
    write_image(tmp_path / f"b{target}", picture)
    written = (tmp_path / f"b{target}").read_bytes()
    assert b"Maker" not in written
    with Image.open(io.BytesIO(written)) as image:
        assert not {"icc_profile", "exif", "dpi"} & set(image.info) or target == ".tif"
        assert not image.getexif() or target == ".tif"


def test_a_profile_for_other_channels_is_left_out(tmp_path):
    grey = PROFILE[:16] + b"GRAY" + PROFILE[20:]
    for name, shape in (("grey", (8, 8)), ("colour", (8, 8, 3))):
        for profile in (grey, PROFILE):
            write_image(tmp_path / "a.png", np.zeros(shape, np.uint8), metadata=Metadata(icc=profile))
            with Image.open(tmp_path / "a.png") as image:
                assert ("icc_profile" in image.info) == ((name == "grey") == (profile == grey))


def test_a_profile_of_several_segments_comes_back(tmp_path):
    large = PROFILE + np.random.default_rng(0).bytes(150_000)
    write_image(tmp_path / "a.jpg", np.zeros((8, 8, 3)), metadata=Metadata(icc=large))
    assert read_with_form(tmp_path / "a.jpg")[1].metadata.icc == large
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["icc_profile"] == large


def test_a_profile_that_swells_is_left_out(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3)))
    data = (tmp_path / "a.png").read_bytes()
    bomb = chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(30 << 20), 9))
    (tmp_path / "a.png").write_bytes(data[:33] + bomb + data[33:])
    picture, form = read_with_form(tmp_path / "a.png")
    assert picture.shape == (8, 8, 3)
    assert form.metadata.icc == b""


def test_exif_that_points_to_itself_or_nowhere_is_harmless():
    loop = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 34665, 4, 1, 8) + bytes(4)
    nowhere = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHII", 271, 2, 2**31, 2**32 - 9) + bytes(4)
    assert set(read_block(loop)) <= {34665}
    assert read_block(nowhere) == {}
    for broken in (b"", b"II", b"II*\0\xff\xff\xff\xff", b"Exif\0\0", loop[:14]):
        assert read_block(broken) == {}


def test_values_keep_their_types_whatever_the_byte_order():
    big = b"MM\0*\0\0\0\x08\0\2" + struct.pack(">HHIHH", 274, 3, 1, 6, 0)
    big += struct.pack(">HHII", 282, 5, 1, 38) + bytes(4) + struct.pack(">II", 72, 5)
    tags = read_block(big)
    assert tags == {274: short(6), 282: Tag(5, struct.pack("<II", 72, 5))}
    assert read_block(pack_block(tags)) == tags
    assert len(pack(tags, 8)) % 2 == 0


@pytest.mark.parametrize("harm", range(3))
def test_raw_files_tell_what_camera_made_them(tmp_path, harm):
    data = dng_bytes(
        np.full((32, 32), 600, np.uint16), pattern="RGGB", black_level=512, white_level=16383, iso=200
    )
    path = tmp_path / "a.dng"
    path.write_bytes((data, data[:40], b"")[harm])
    metadata = raw_metadata(path)
    if harm:
        assert metadata == Metadata()
        return
    write_image(tmp_path / "b.jpg", np.zeros((32, 32, 3)), metadata=metadata)
    with Image.open(tmp_path / "b.jpg") as image:
        exif = image.getexif()
        assert exif[271]
        assert exif[272]
        below = exif.get_ifd(34665)
        assert (below[34855], below[40961], below[40962]) == (200, 1, 32)
        assert 50714 not in exif
        assert 273 not in exif


def test_a_fuji_file_tells_by_the_jpeg_in_it(tmp_path):
    store(tmp_path / "a.jpg", 6, 0)
    jpeg = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.raf").write_bytes(
        b"FUJIFILMCCD-RAW ".ljust(84) + struct.pack(">II", 128, len(jpeg)) + bytes(36) + jpeg
    )
    tags = read_block(raw_metadata(tmp_path / "a.raf").exif)
    assert tags[271].data == b"Maker\0"
    assert 274 not in tags
    assert raw_metadata(tmp_path / "none.raf") == Metadata()
