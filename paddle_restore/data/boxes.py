"""Boxes of the files that ISO's media format describes (HEIC, AVIF) and of JPEG 2000 and JPEG XL."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, Optional

from paddle_restore.data import colour_profiles

_MAX_BOX = 1 << 24
_CODE_POINTS = re.compile(rb"colrnclx(....)", re.DOTALL)


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of a file's boxes; of the content at most 16 MiB."""
    file.seek(0)
    while len(start := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", start)
        header = 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            header = 16
        length = size - header if size else _MAX_BOX  # 0: the last box, to the end of the file
        content = file.read(min(length, _MAX_BOX)) if length >= 0 else b""
        yield kind, content
        if size < header:
            return
        file.seek(length - len(content), 1)


def box_content(file: BinaryIO, kind: bytes) -> bytes:
    """Return the content of the first box of a type, b"" if there is none."""
    return next((content for found, content in boxes(file) if found == kind), b"")


def named_profile(meta: bytes) -> tuple[bytes, Optional[str]]:
    """Return the profile of the colours that a `meta` box names, and a note where there is none for them."""
    found = _CODE_POINTS.search(meta)
    if not found:
        return b"", None
    return profile_with_note(*struct.unpack(">HH", found[1]))


def profile_with_note(primaries: int, transfer: int) -> tuple[bytes, Optional[str]]:
    """Return the profile of H.273's code points, and a note where there is none for them."""
    icc = colour_profiles.of_code_points(primaries, transfer)
    if icc is not None:
        return icc, None
    return b"", (
        f"has colours that no ICC profile describes, such as HDR's (H.273: primaries {primaries}, curve "
        f"{transfer}); its pixels are restored as they are, and other programs will show them wrong"
    )
