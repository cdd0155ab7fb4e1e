"""JPEG by Pillow. Of a file with several pictures (MPO) the first is read."""

from __future__ import annotations

from typing import BinaryIO, Optional

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.pillow import PillowPicture, save

QUALITY = 95
_MAX_EXIF = 65533  # a segment's length has 16 bits


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    exif = metadata.exif_block(image)
    exif = b"Exif\0\0" + exif if exif else b""
    exif = exif if len(exif) <= _MAX_EXIF else b""
    save(file, image, "JPEG", metadata, exif=exif, quality=quality or QUALITY)


add_format(
    Format(
        title="JPEG",
        suffixes=(".jpg", ".jpeg"),
        mime="image/jpeg",
        magic=rb"\xff\xd8\xff",
        open=lambda file: PillowPicture(file, JpegImageFile, "JPEG"),
        write=_write,
    )
)
