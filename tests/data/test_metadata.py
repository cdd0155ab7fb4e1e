"""Colour profile and EXIF go along, and pictures are upright; Pillow and tifffile say what the files hold."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import IFDRational
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.data.image import image_size, read_with_form, to_float, write_image
from paddle_restore.data.metadata import EXIF, MAIN, Metadata, read_block, read_file_tags
from paddle_restore.data.raw_metadata import raw_metadata
from paddle_restore.data.synthetic.dng import dng_bytes
from paddle_restore.errors import UserError

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


def copied_tags(exif):
    return {
        (name, tag, directory.tagtype[tag]): value
        for name, directory in read_block(exif).items()
        for tag, value in directory.items()
        if tag not in (274, 282, 283, 296, 34665, 34853, 40962, 40963)
    }


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
    assert (again.icc, copied_tags(again.exif)) == (PROFILE, copied_tags(form.metadata.exif))


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


def test_a_profile_that_swells_is_refused(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3)))
    data = (tmp_path / "a.png").read_bytes()
    bomb = chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(30 << 20), 9))
    (tmp_path / "a.png").write_bytes(data[:33] + bomb + data[33:])
    with pytest.raises(UserError, match="profile or text above 1 MiB"):
        read_with_form(tmp_path / "a.png")


def test_exif_that_points_to_itself_or_nowhere_is_harmless():
    loop = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 34665, 4, 1, 8) + bytes(4)
    nowhere = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHII", 271, 2, 2**31, 2**32 - 9) + bytes(4)
    for broken in (loop, nowhere, b"", b"II", b"II*\0\xff\xff\xff\xff", b"Exif\0\0", loop[:14]):
        assert Metadata.of(read_block(broken)) == Metadata()


def test_tags_that_share_megabytes_are_bounded(tmp_path):
    """2000 tags of the same MiB: two gigabytes, if all were read."""
    entries = b"".join(struct.pack("<HHII", name, 7, 1 << 20, 1 << 16) for name in range(1000, 3000))
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", 2000) + entries + bytes(4)
    (tmp_path / "a.dng").write_bytes(data.ljust((1 << 20) + (1 << 16), b"\0"))
    assert raw_metadata(tmp_path / "a.dng") == Metadata()
    assert len(read_file_tags(tmp_path / "a.dng")[MAIN]) <= 64


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_values_keep_their_types_and_letters_whatever_the_byte_order(tmp_path, suffix):
    block = big_endian_block()
    write_image(
        tmp_path / f"a{suffix}", np.zeros((8, 8, 3), np.uint8), metadata=Metadata.of(read_block(block))
    )
    again = read_block(read_with_form(tmp_path / f"a{suffix}")[1].metadata.exif)
    assert again[MAIN][315].encode("latin-1").decode() == "© Jörg"
    assert (again[MAIN][18246], again[MAIN].tagtype[18246]) == (5, 3)
    below = again[EXIF]
    assert (below[33434].numerator, below[33434].denominator) == (1, 250)
    assert float(below[37380]) == pytest.approx(-1 / 3)
    assert (below[34855], below[36867], below[37510]) == (800, "2024:01:02 03:04:05", b"ASCII\0\0\0hi")
    kinds = {33434: 5, 34855: 3, 36867: 2, 37380: 10, 37510: 7}
    assert {name: below.tagtype[name] for name in kinds} == kinds


def big_endian_block():
    """Artist in UTF-8, rating; exposure, ISO, date, bias, comment; a lens of unknown aperture; Interop."""
    main, below = (
        Directory(b"MM\0*\0\0\0\0"),
        Directory(b"MM\0*\0\0\0\0", group=EXIF),
    )
    main[315], main[18246], main[EXIF] = "© Jörg".encode(), 5, 0
    main.tagtype[18246] = 3
    below.tagtype.update({37380: 10, 37510: 7, 42034: 5})
    below[33434], below[34855], below[36867] = IFDRational(1, 250), 800, "2024:01:02 03:04:05"
    below[37380], below[37510] = IFDRational(-1, 3), b"ASCII\0\0\0hi"
    below[42034], below[40965] = (
        (50.0, 50.0, IFDRational(0, 0), IFDRational(0, 0)),
        8,
    )
    main[EXIF] = 8 + len(main.tobytes(8))
    return b"MM\0*\0\0\0\x08" + main.tobytes(8) + below.tobytes(main[EXIF])


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
    tags = read_block(raw_metadata(tmp_path / "a.raf").exif)[MAIN]
    assert tags[271] == "Maker"
    assert 274 not in tags
    assert raw_metadata(tmp_path / "none.raf") == Metadata()
