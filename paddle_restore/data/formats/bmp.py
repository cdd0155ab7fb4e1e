"""BMP by Pillow. It has no room for a colour profile or EXIF."""

from __future__ import annotations

from typing import BinaryIO, Optional

import numpy as np
from PIL.BmpImagePlugin import BmpImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.pillow import PillowPicture, save


class BmpPicture(PillowPicture):
    has_alpha = False  # the fourth byte is mostly unused


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    save(file, image, "BMP", metadata)


add_format(
    Format(
        title="BMP",
        suffixes=(".bmp",),
        mime="image/bmp",
        magic=rb"BM",
        open=lambda file: BmpPicture(file, BmpImageFile, "BMP"),
        write=_write,
        offered=False,
    )
)
