"""BMP by Pillow. It has no room for a colour profile or EXIF."""

from __future__ import annotations

from PIL.BmpImagePlugin import BmpImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.pillow import PillowPicture, pillow_writer


class BmpPicture(PillowPicture):
    has_alpha = False  # the fourth byte is mostly unused


add_format(
    Format(
        title="BMP",
        suffixes=(".bmp",),
        mime="image/bmp",
        magic=rb"BM",
        open=lambda file: BmpPicture(file, BmpImageFile),
        write=pillow_writer("BMP"),
        offered=False,
    )
)
