"""The table of picture formats: what it says holds, and a format of another package is like ours."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from paddle_restore.data.formats import (
    FORMATS,
    START,
    all_formats,
    format_of_bytes,
    format_of_name,
    is_picture,
    is_raw,
    output_formats,
    suffixes,
    titles,
)
from paddle_restore.data.image import read_with_form, write_image
from paddle_restore.errors import UserError
from tests.package import install, run_python

PPM = """
import numpy as np
from PIL import Image
from PIL.PpmImagePlugin import PpmImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.pillow import PillowPicture


def write(file, image, metadata, quality):
    Image.fromarray(image).save(file, "PPM")


add_format(
    Format(
        title="PPM",
        suffixes=(".ppm", ".pgm"),
        mime="image/x-portable-pixmap",
        magic=rb"P[56]\\s",
        open=lambda file: PillowPicture(file, PpmImageFile),
        write=write,
    )
)
"""

USE = """
import argparse
from pathlib import Path

import numpy as np

from paddle_restore.cli.restore import Infer
from paddle_restore.inference.files import FileOptions, Kinds, find_tasks
from paddle_restore.data.image import image_size, read_with_form, write_image
from paddle_restore.errors import UserError

picture = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
write_image("a.ppm", picture.astype(np.uint16) * 257)
read, form = read_with_form("a.ppm")
assert (read == picture[..., :3]).all() and form.alpha is None and image_size("a.ppm") == (5, 7)
write_image("b.pgm", picture[..., 0])
assert read_with_form("b.pgm")[1].grey
Path("a.ppm").rename("c.png")
assert (read_with_form("c.png")[0] == read).all()
parser = argparse.ArgumentParser()
Infer().add_arguments(parser)
args = parser.parse_args(["--model_dir", ".", "--input", ".", "--output", "out", "--format", "ppm"])
tasks = find_tasks(FileOptions(args.input, args.output, format=args.format), Kinds(pictures=True))
print(sorted(task.output.name for task in tasks))
try:
    write_image("a.gif", picture)
except UserError as error:
    print(error)
"""


def test_our_formats():
    names = ["png", "jpg", "tif", "webp", "avif", "bmp", "heic", "jp2", "jxl"]
    assert [one.name for one in all_formats()] == names
    assert [one.name for one in output_formats()] == ["png", "jpg", "tif", "webp"]
    assert titles(all_formats()) == "PNG, JPEG, TIFF, WebP, AVIF, BMP, HEIC, JPEG 2000 or JPEG XL"
    assert suffixes() == [
        *(
            ".avif",
            ".bmp",
            ".heic",
            ".heif",
            ".hif",
            ".j2c",
            ".j2k",
            ".jfif",
            ".jp2",
            ".jpe",
            ".jpeg",
            ".jpf",
        ),
        *(".jpg", ".jpx", ".jxl", ".mpo", ".png", ".tif", ".tiff", ".webp"),
    ]
    assert [one.mime for one in output_formats()] == ["image/png", "image/jpeg", "image/tiff", "image/webp"]


def test_no_two_formats_claim_the_same_files():
    for one, other in itertools.combinations(all_formats(), 2):
        assert not set(one.suffixes) & set(other.suffixes)
    for one in all_formats():
        assert FORMATS.find(one.name) is one
        for suffix in one.suffixes:
            path = Path(f"a{suffix.upper()}")
            assert is_picture(path)
            assert format_of_name(path) is one
            assert not is_raw(path)


def test_formats_that_are_only_read_name_another():
    for one in all_formats():
        assert one.write or FORMATS[one.instead] in output_formats()


@pytest.mark.parametrize("name", [one.name for one in all_formats() if one.write])
def test_a_format_holds_what_the_table_says(tmp_path, name):
    kind, picture = FORMATS[name], np.random.default_rng(0).integers(0, 2**16, (6, 8, 4)).astype(np.uint16)
    path = tmp_path / f"a.{name}"
    write_image(path, picture)
    start = path.read_bytes()[:START]
    assert format_of_bytes(start) is kind
    read, form = read_with_form(path)
    assert form.depth == max(kind.depths)
    assert (form.alpha is not None) == kind.alpha
    if kind.depths == (8, 16):
        np.testing.assert_array_equal(read, picture[..., :3])


@pytest.mark.parametrize("start", [b"", b"P", b"hello, world", b"RIFF\0\0\0\0WAVE", b"\xff\xd8", b"GIF89a"])
def test_other_files_have_no_format(start):
    assert format_of_bytes(start) is None


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(UserError, match="unknown picture format 'jpeg'; did you mean 'jpg'"):
        FORMATS.find("jpeg")


def test_a_format_of_another_package_is_read_written_and_offered(tmp_path):
    install(tmp_path, "paddle_restore.data.formats", "toy_ppm", PPM)
    assert run_python(USE, tmp_path).splitlines() == [
        "['b.ppm', 'c.ppm']",
        "a.gif: choose a name that ends in .png, .jpg, .ppm, .tif or .webp",
    ]
