"""WebP by Pillow. It is lossless unless a quality is given."""

from __future__ import annotations

from typing import Any, Optional

from PIL.WebPImagePlugin import WebPImageFile

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.pillow import PillowPicture, pillow_writer

_LOSSLESS_EFFORT = 70


def _options(exif: bytes, quality: Optional[int]) -> dict[str, Any]:
    # `exact` keeps the colours of transparent pixels.
    return {"exif": exif, "lossless": not quality, "exact": True, "quality": quality or _LOSSLESS_EFFORT}


add_format(
    Format(
        title="WebP",
        suffixes=(".webp",),
        mime="image/webp",
        magic=rb"RIFF....WEBP",
        open=lambda file: PillowPicture(file, WebPImageFile),
        write=pillow_writer("WEBP", _options),
        alpha=True,
    )
)
