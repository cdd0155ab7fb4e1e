"""Picture files that Pillow opens, decodes and writes.

Its plugins are called directly, because `Image.open` has one limit of pixels for the whole process.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, BinaryIO, Optional

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from paddle_restore.data.formats import CannotHold, NotSupported, Writer
from paddle_restore.data.metadata import MAIN, ORIENTATION, Directories, Directory, Metadata, read_block
from paddle_restore.data.pixels import ROWS, strips


class PillowPicture:
    """An `OpenPicture` by one of Pillow's plugins, such as `PIL.BmpImagePlugin.BmpImageFile`."""

    def __init__(self, file: BinaryIO, plugin: Callable[[BinaryIO], ImageFile]) -> None:
        self.file = file
        try:
            self.image = image = plugin(file)
        except ValueError as error:
            if "too" in str(error).lower():  # "Decompressed data too large": Pillow's guard
                raise NotSupported("has a colour profile or text above 1 MiB; save it without") from None
            raise
        self.size = (image.height, image.width)
        if getattr(image, "is_animated", False):
            title = "WebP" if image.format == "WEBP" else image.format
            raise NotSupported(f"is an animated {title}; save one of its pictures as a file of its own")
        if image.mode == "CMYK":
            raise NotSupported("is a CMYK picture; convert it to RGB first")

    # Properties, because a PNG may have its EXIF after the pixels.
    @property
    def orientation(self) -> int:
        return self._tags().get(MAIN, Directory()).get(ORIENTATION, 1)

    @property
    def metadata(self) -> Metadata:
        info = self.image.info
        return Metadata.of(self._tags(), info.get("icc_profile") or b"", info.get("dpi"))

    def _tags(self) -> Directories:
        return read_block(self.image.info.get("exif", b""))

    @property
    def has_alpha(self) -> bool:
        return self.image.has_transparency_data

    def decode(self) -> np.ndarray:
        """Return the stored pixels as (H, W), (H, W, 3) or (H, W, 4) uint8."""
        image, (height, width) = self.image, self.size
        image.load()
        mode = "RGBA" if self.has_alpha else "L" if image.mode in ("1", "L") else "RGB"
        pixels = np.empty((height, width, len(mode)) if len(mode) > 1 else (height, width), np.uint8)
        for rows, top in zip(strips(pixels), range(0, height, ROWS)):
            part = image.crop((0, top, width, top + len(rows)))
            rows[:] = np.asarray(part if part.mode == mode else part.convert(mode))
        return pixels


def pillow_writer(
    kind: str, options: Callable[[bytes, Optional[int]], dict[str, Any]] = lambda exif, quality: {}
) -> Writer:
    """Return a writer of Pillow's format `kind`: colour profile, resolution and options(EXIF, quality)."""

    def write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
        chosen = options(metadata.exif_block(image), quality)
        if metadata.dpi:
            chosen["dpi"] = tuple(min(round(value), 65535) for value in metadata.dpi)
        encoded = io.BytesIO()
        try:
            Image.fromarray(image).save(encoded, kind, icc_profile=metadata.profile(image) or None, **chosen)
        except (OSError, ValueError, SystemError):
            raise CannotHold from None
        file.write(encoded.getbuffer())

    return write
