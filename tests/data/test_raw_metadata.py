"""What raw files of other containers than TIFF with EXIF say of camera and exposure."""

from __future__ import annotations

import struct
from datetime import datetime
from types import SimpleNamespace

import numpy as np

from paddle_restore.data import raw_metadata as module
from paddle_restore.data.dng_file import ASCII, RATIONAL, SHORT, directory
from paddle_restore.data.image import write_image
from paddle_restore.data.metadata import EXIF, GPS, MAIN, pack_block, read_block
from paddle_restore.data.raw_metadata import raw_metadata


def test_exposure_in_the_first_directory_goes_along(shared):
    found = read_block(raw_metadata(shared / "cases/files/exif_in_ifd0/tiffep.dng").exif)
    assert found[MAIN][272] == "Synthetic"
    exposure = found[EXIF]
    assert float(exposure[33434]) == 1 / 50
    assert float(exposure[33437]) == 1.8
    assert (exposure[34855], exposure[40961]) == (3200, 1)


def test_cr3_keeps_a_block_for_each_directory(tmp_path):
    blocks = {
        b"CMT1": {271: (ASCII, "Canon"), 272: (ASCII, "Canon EOS R5"), 274: (SHORT, 6)},
        b"CMT2": {33434: (RATIONAL, 0.005), 34855: (SHORT, 6400), 42036: (ASCII, "RF50mm F1.2 L USM")},
        b"CMT4": {1: (ASCII, "N"), 2: (RATIONAL, (52, 30, 0))},
    }
    boxes = b""
    for name, tags in blocks.items():
        block = pack_block({MAIN: directory(tags)})
        boxes += struct.pack(">I", len(block) + 8) + name + block
    start = struct.pack(">I", 24) + b"ftypcrx " + bytes(12)
    (tmp_path / "a.cr3").write_bytes(start + struct.pack(">I", len(boxes) + 8) + b"moov" + boxes)
    found = read_block(raw_metadata(tmp_path / "a.cr3").exif)
    assert (found[MAIN][271], found[MAIN][272]) == ("Canon", "Canon EOS R5")
    assert 274 not in found[MAIN]
    assert (float(found[EXIF][33434]), found[EXIF][34855]) == (0.005, 6400)
    assert found[EXIF][42036] == "RF50mm F1.2 L USM"
    assert [float(part) for part in found[GPS][2]] == [52, 30, 0]


def heap(tags: list[tuple[int, bytes]]) -> bytes:
    """A folder of CIFF: values, then the table of tags, then the table's place."""
    values, table = b"", struct.pack("<H", len(tags))
    for tag, value in tags:
        table += struct.pack("<HII", tag, len(value), len(values))
        values += value
    return values + table + struct.pack("<I", len(values))


def crw(names: bytes) -> bytes:
    inside = heap([(0x0805, b"a comment"), (0x2807, heap([(0x080A, names)]))])
    return (
        b"II" + struct.pack("<I", 26) + b"HEAPCCDR" + bytes(12) + heap([(0x2005, b"raw"), (0x300A, inside)])
    )


def test_crw_names_its_camera(tmp_path):
    (tmp_path / "a.crw").write_bytes(crw(b"Canon\0Canon PowerShot G6\0"))
    found = read_block(raw_metadata(tmp_path / "a.crw").exif)
    assert (found[MAIN][271], found[MAIN][272]) == ("Canon", "Canon PowerShot G6")
    write_image(tmp_path / "a.jpg", np.zeros((8, 8, 3)), metadata=raw_metadata(tmp_path / "a.crw"))


def test_a_broken_crw_says_nothing(tmp_path):
    whole = crw(b"Canon\0Canon PowerShot G6\0")
    for data in (whole[:20], whole[:-4], whole[:-2] + b"\xff\xff", whole[:40] + bytes(9)):
        (tmp_path / "a.crw").write_bytes(data)
        raw_metadata(tmp_path / "a.crw")


def test_what_libraw_tells_becomes_tags_of_exif():
    raw = SimpleNamespace(
        other=SimpleNamespace(
            shutter_speed=0.01,
            aperture=2.8,
            iso_speed=102400.0,
            focal_length=35.0,
            timestamp=datetime(2004, 5, 6, 7, 8, 9),
        ),
        lens=SimpleNamespace(make="", model="7.2-28.8 mm"),
    )
    block = pack_block({MAIN: directory({}), EXIF: module._told_by_libraw(raw)})
    told = read_block(block)[EXIF]
    assert (float(told[33434]), told[34855], told[42036]) == (0.01, 65535, "7.2-28.8 mm")
    assert told[36867] == "2004:05:06 07:08:09"
    assert 42035 not in told
