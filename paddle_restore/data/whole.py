"""Whether a picture file goes on to its end: decoders fill what is missing with grey and say nothing."""

from __future__ import annotations

import re
import struct
import zlib

from paddle_restore.data.headers import Header
from paddle_restore.data.tags import Tags

# Any marker but those in the middle of a scan: a stuffed zero, a restart, a fill byte.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def is_whole(data: memoryview, header: Header) -> bool:
    """Tell whether the file goes on to its end, which its decoder may not miss."""
    if header.format == "PNG":
        return _png_is_whole(data)
    if header.format == "JPEG":
        return _jpeg_is_whole(data)
    if header.format == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    if header.format == "TIFF":
        return _tiff_is_whole(len(data), header.tags)
    return _bmp_is_whole(data, header)


def _png_is_whole(data: memoryview) -> bool:
    """False for a PNG whose chunks are cut short or damaged; libpng would print about it itself."""
    place = 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, end = bytes(data[place + 4 : place + 8]), place + 8 + length
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if kind == b"IEND":
            return True
        place = end + 4
    return False


def _jpeg_is_whole(data: memoryview) -> bool:
    """False without the end marker, for which libjpeg puts grey pixels."""
    place = 2
    while True:
        found = _JPEG_MARKER.search(data, place)
        if not found:
            return False
        marker, place = found.group()[1], found.end()
        if marker == 0xD9:
            return True
        place += int.from_bytes(data[place : place + 2], "big")


def _tiff_is_whole(length: int, tags: Tags) -> bool:
    for offsets, sizes in ((273, 279), (324, 325)):
        if offsets in tags and sizes in tags:
            pairs = zip(tags[offsets].numbers, tags[sizes].numbers)
            return all(place + size <= length for place, size in pairs)
    return True


def _bmp_is_whole(data: memoryview, header: Header) -> bool:
    if len(data) < 54:
        return False
    bits, packed = struct.unpack("<HI", data[28:34])
    rows = header.height * (header.width * bits + 31 >> 5 << 2)
    return packed not in (0, 3) or int.from_bytes(data[10:14], "little") + rows <= len(data)
