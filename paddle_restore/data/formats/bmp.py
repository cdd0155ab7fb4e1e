"""BMP by Pillow. It has no room for a colour profile or EXIF."""

from __future__ import annotations

import numpy as np
from PIL.BmpImagePlugin import BmpImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.pillow import PillowPicture, pillow_writer


class BmpPicture(PillowPicture):
    def decode(self) -> np.ndarray:
        pixels = super().decode()
        # A fourth byte that says nothing is mostly 0.
        unused = pixels.ndim == 3 and pixels.shape[2] == 4 and not pixels[..., 3].any()
        return pixels[..., :3] if unused else pixels


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
