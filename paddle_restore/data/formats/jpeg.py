"""JPEG by Pillow. Of a file with several pictures (MPO) the first is read."""

from __future__ import annotations

from typing import Any, Optional

from PIL.JpegImagePlugin import JpegImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.pillow import PillowPicture, pillow_writer

QUALITY = 95
_MAX_EXIF = 65533  # a segment's length has 16 bits


def _options(exif: bytes, quality: Optional[int]) -> dict[str, Any]:
    exif = b"Exif\0\0" + exif if exif else b""
    return {"exif": exif if len(exif) <= _MAX_EXIF else b"", "quality": quality or QUALITY}


add_format(
    Format(
        title="JPEG",
        suffixes=(".jpg", ".jpeg"),
        mime="image/jpeg",
        magic=rb"\xff\xd8\xff",
        open=lambda file: PillowPicture(file, JpegImageFile),
        write=pillow_writer("JPEG", _options),
    )
)
