"""WebP by Pillow. It is lossless unless a quality is given."""

from __future__ import annotations

from typing import BinaryIO, Optional

import numpy as np
from PIL.WebPImagePlugin import WebPImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.pillow import PillowPicture, save

_LOSSLESS_EFFORT = 70


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    save(
        file,
        image,
        "WEBP",
        metadata,
        exif=metadata.exif_block(image),
        lossless=not quality,
        exact=True,  # keeps the colours of transparent pixels
        quality=quality or _LOSSLESS_EFFORT,
    )


add_format(
    Format(
        title="WebP",
        suffixes=(".webp",),
        mime="image/webp",
        magic=rb"RIFF....WEBP",
        open=lambda file: PillowPicture(file, WebPImageFile, "WebP"),
        write=_write,
        alpha=True,
    )
)
