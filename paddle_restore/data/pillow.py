"""Picture files that Pillow opens, decodes and writes.

Its plugins are called directly, because `Image.open` has one limit of pixels for the whole process.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, BinaryIO, Optional

import numpy as np
from PIL import Image, ImageCms

from paddle_restore.data.colour_profiles import srgb
from paddle_restore.data.formats import CannotHold, NotSupported, Writer
from paddle_restore.data.metadata import MAIN, ORIENTATION, Directories, Directory, Metadata, read_block
from paddle_restore.data.pixels import ROWS, strips

_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation(?:=["']|>)([1-8])""")
"""Programs that write no EXIF say it there."""


class PillowPicture:
    """An `OpenPicture` by one of Pillow's plugins, such as `PIL.BmpImagePlugin.BmpImageFile`.

    notes  what has to be said of the picture, each a predicate: "is a CMYK picture, ..."
    """

    def __init__(self, file: BinaryIO, plugin: Callable[[BinaryIO], Image.Image]) -> None:
        self.file = file
        self.notes: list[str] = []
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
            self._cmyk = CmykConversion(image.info.get("icc_profile") or b"")
            self.notes.append(self._cmyk.note)

    # Properties, because a PNG may have its EXIF after the pixels.
    @property
    def orientation(self) -> int:
        by_xmp = _XMP_ORIENTATION.search(self._xmp())
        return self._tags().get(MAIN, Directory()).get(ORIENTATION, int(by_xmp[1]) if by_xmp else 1)

    @property
    def metadata(self) -> Metadata:
        info = self.image.info
        icc = srgb() if self.image.mode == "CMYK" else info.get("icc_profile") or b""
        return Metadata.of(self._tags(), icc, info.get("dpi"))

    def _xmp(self) -> bytes:
        xmp = self.image.info.get("xmp") or self.image.info.get("XML:com.adobe.xmp") or b""
        return xmp.encode(errors="replace") if isinstance(xmp, str) else xmp

    def _tags(self) -> Directories:
        return read_block(self.image.info.get("exif", b""))

    @property
    def has_alpha(self) -> bool:
        return self.image.has_transparency_data

    def decode(self) -> np.ndarray:
        """Return the stored pixels as (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) uint8."""
        image, (height, width) = self.image, self.size
        image.load()
        grey = image.mode in ("1", "L", "LA")
        mode = ("LA" if grey else "RGBA") if self.has_alpha else "L" if grey else "RGB"
        convert = self._cmyk.convert if image.mode == "CMYK" else lambda part: part.convert(mode)
        pixels = np.empty((height, width, len(mode)) if len(mode) > 1 else (height, width), np.uint8)
        for rows, top in zip(strips(pixels), range(0, height, ROWS)):
            part = image.crop((0, top, width, top + len(rows)))
            rows[:] = np.asarray(part if part.mode == mode else convert(part))
        return pixels


class CmykConversion:
    """The conversion of CMYK pixels to sRGB by their profile. Raises NotSupported if there is none."""

    note = "is a CMYK picture, converted to sRGB by its profile"

    def __init__(self, icc: bytes) -> None:
        self._icc = icc
        if not icc:
            raise NotSupported("is a CMYK picture without a colour profile; convert it to RGB first")

    @cached_property
    def _transform(self) -> ImageCms.ImageCmsTransform:
        try:
            return ImageCms.buildTransform(
                ImageCms.ImageCmsProfile(io.BytesIO(self._icc)),
                ImageCms.createProfile("sRGB"),
                "CMYK",
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError):
            raise NotSupported("is a CMYK picture of a broken profile; convert it to RGB first") from None

    def convert(self, image: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(image, self._transform)
        assert converted is not None
        return converted


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
