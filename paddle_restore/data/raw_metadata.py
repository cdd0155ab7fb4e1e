"""Make, model, exposure, date, lens and place from any raw file, wherever it keeps them.

Most raw files are TIFF files with an EXIF directory. Of the others, Fujifilm's RAF holds a JPEG that has
EXIF, Canon's CR3 holds a TIFF block for each directory, TIFF/EP and Kodak put the exposure into the first
directory, and Canon's older CRW has tags of its own, of which LibRaw tells what counts.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import rawpy
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from paddle_restore.data.dng_file import ASCII, RATIONAL, directory
from paddle_restore.data.metadata import (
    EXIF,
    GPS,
    MAIN,
    NO_METADATA,
    Directories,
    Metadata,
    copied_block,
    merged,
    read_block,
    read_file_tags,
)
from paddle_restore.data.raw import open_raw
from paddle_restore.errors import UserError
from paddle_restore.quiet import quiet, quiet_libraries

_MAKE, _MODEL = 271, 272
_EXPOSURE_TIME, _APERTURE, _ISO, _DATE, _FOCAL_LENGTH = 33434, 33437, 34855, 36867, 37386
_LENS_MAKE, _LENS_MODEL, _COLOUR_SPACE = 42035, 42036, 40961
# Tags of EXIF that other standards have in the first directory.
_EXPOSURE = (
    *(_EXPOSURE_TIME, _APERTURE, 34850, _ISO, _DATE, 36868, *range(37377, 37387)),
    *(41989, 42034, _LENS_MAKE, _LENS_MODEL),
)
_CR3_BLOCKS = {MAIN: b"CMT1", EXIF: b"CMT2", GPS: b"CMT4"}
_CRW_NAMES, _CRW_FOLDERS, _MAX_DEPTH = 0x080A, (0x2800, 0x3000), 4
_HEAD = 1 << 20  # bytes in which RAF's and CR3's tags lie


@quiet_libraries()
def raw_metadata(path: str | Path) -> Metadata:
    """Read what a raw file says of camera and exposure; empty if nothing is found.

    The colour space is set to sRGB, which the restored picture has, although the camera's JPEG may differ.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            found = _directories(path, file.read(_HEAD))
        for name in _EXPOSURE:
            if name in found[MAIN] and name not in found[EXIF]:
                found[EXIF].tagtype[name] = found[MAIN].tagtype[name]
                found[EXIF][name] = found[MAIN][name]
        if _EXPOSURE_TIME not in found[EXIF]:
            with suppress(UserError, rawpy.LibRawError), quiet(), open_raw(path) as raw:
                found[EXIF] = merged(_told_by_libraw(raw), found[EXIF])
        if not copied_block(found):
            return NO_METADATA
        found[EXIF][_COLOUR_SPACE] = 1
        return Metadata(copied_block(found))
    except (OSError, ValueError, SyntaxError, struct.error):
        return NO_METADATA


def _directories(path: Path, head: bytes) -> Directories:
    """Return the directories of a file of any kind: MAIN and EXIF always, GPS where there is one."""
    if head.startswith(b"FUJIFILM"):
        with path.open("rb") as file:
            file.seek(int.from_bytes(head[84:88], "big"))
            found = read_block(JpegImageFile(io.BytesIO(file.read(_HEAD))).info.get("exif", b""))
    elif head[4:12] == b"ftypcrx ":
        found = _of_cr3(head)
    elif head[6:14] == b"HEAPCCDR":
        make, model = _names_of_crw(path.read_bytes())
        found = {MAIN: directory({_MAKE: (ASCII, make), _MODEL: (ASCII, model)})}
    else:
        found = read_file_tags(path)
    return {MAIN: Directory(), EXIF: Directory(group=EXIF), **found}


def _of_cr3(head: bytes) -> Directories:
    found: Directories = {}
    for name, box in _CR3_BLOCKS.items():
        place = head.find(box)
        if place >= 4:
            size = int.from_bytes(head[place - 4 : place], "big")
            tags = read_block(head[place + 4 : place - 4 + size]).get(MAIN, Directory())
            found[name] = merged(Directory(group=name or None), tags)
    return found


def _names_of_crw(data: bytes) -> tuple[bytes, bytes]:
    """Return make and model of a CRW, whose tags lie in folders at the end of each block (Canon's CIFF)."""

    def find(start: int, end: int, depth: int) -> bytes:
        (table,) = struct.unpack_from("<I", data, end - 4)
        (count,) = struct.unpack_from("<H", data, start + table)
        for number in range(count):
            tag, size, offset = struct.unpack_from("<HII", data, start + table + 2 + 10 * number)
            inside = start + offset, start + offset + size
            if tag == _CRW_NAMES:
                return data[slice(*inside)]
            if tag & 0x3800 in _CRW_FOLDERS and depth < _MAX_DEPTH:
                names = find(*inside, depth + 1)
                if names:
                    return names
        return b""

    (start,) = struct.unpack_from("<I", data, 2)
    make, _, model = find(start, len(data), 0).partition(b"\0")
    return make, model.split(b"\0")[0]


def _told_by_libraw(raw: Any) -> Directory:
    """Return the exposure, date and lens that LibRaw has found, as tags of EXIF."""
    other, lens = raw.other, raw.lens
    tags = {
        _EXPOSURE_TIME: (RATIONAL, other.shutter_speed),
        _APERTURE: (RATIONAL, other.aperture),
        _FOCAL_LENGTH: (RATIONAL, other.focal_length),
        _LENS_MAKE: (ASCII, lens.make),
        _LENS_MODEL: (ASCII, lens.model),
    }
    told = directory({name: (kind, value) for name, (kind, value) in tags.items() if value}, EXIF)
    if other.iso_speed:
        told[_ISO] = min(round(other.iso_speed), 65535)
    if other.timestamp.year > 1970:
        told[_DATE] = f"{other.timestamp:%Y:%m:%d %H:%M:%S}"
    return told
