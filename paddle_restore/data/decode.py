"""Opening and decoding picture files: what they are and hold is known before a pixel is decoded.

Pillow opens and decodes PNG, JPEG, WebP and BMP, by its plugins themselves: `Image.open` has one
limit of pixels for the whole process. tifffile opens TIFF. OpenCV decodes what those cannot: PNG of
16 bit, of which Pillow makes 8, and TIFF, for whose LZW and JPEG tifffile needs a package of codecs.
"""

from __future__ import annotations

import itertools
import logging
from operator import index
from typing import BinaryIO, Union

import cv2
import numpy as np
import tifffile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from paddle_restore.data.metadata import (
    ICC,
    MAIN,
    ORIENTATION,
    Directories,
    Metadata,
    read_block,
    read_file_tags,
)
from paddle_restore.data.pixels import ROWS, strips, to_integer

_PLUGINS = {b"\x89P": PngImageFile, b"\xff\xd8": JpegImageFile, b"RI": WebPImageFile, b"BM": BmpImageFile}
_FULL_PICTURES = (0, 2)  # TIFF's NewSubfileType, of no thumbnail and no mask
_EXTRA_SAMPLES, _UNSPECIFIED = 338, 0

# A broken file is one line of ours, not several of theirs. The setter's name is OpenCV 5's, or 4's.
(cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2).setLogLevel(0)
_log = logging.getLogger("tifffile")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # Paddle gives the root logger a handler


class NotSupported(Exception):
    """Something that this package does not read; the text says what."""


def open_picture(file: BinaryIO) -> Union[Picture, Tiff]:
    """Read the header of an open picture, whatever its name. Raises NotSupported, or anything if broken."""
    start = file.read(16)
    file.seek(0)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Tiff(file)
    if start[:2] in _PLUGINS:
        return Picture(file, _PLUGINS[start[:2]])
    what = "holds no PNG, JPEG, TIFF, WebP or BMP" if start else "is empty"
    raise NotSupported(f"cannot be read as a picture; the file {what}")


class Picture:
    """PNG, JPEG, WebP or BMP. `size` is (height, width) as stored, before `orientation` (EXIF's) turns it."""

    def __init__(self, file: BinaryIO, plugin: type) -> None:
        self._file = file
        try:
            self._image = plugin(file)
        except ValueError as error:
            if "too" in str(error).lower():  # "Decompressed data too large": Pillow's guard
                raise NotSupported("has a colour profile or text above 1 MiB; save it without") from None
            raise
        self.size = self._image.size[::-1]
        if getattr(self._image, "is_animated", False):
            name = {"WEBP": "WebP"}.get(plugin.format, plugin.format)
            raise NotSupported(f"is an animated {name}; save one of its pictures as a file of its own")
        if self._image.mode == "CMYK":
            raise NotSupported("is a CMYK picture; convert it to RGB first")

    # Properties, because a PNG may have its EXIF after the pixels.
    @property
    def orientation(self) -> int:
        return self._tags().get(MAIN, {}).get(ORIENTATION, 1)

    @property
    def metadata(self) -> Metadata:
        info = self._image.info
        return Metadata.of(self._tags(), info.get("icc_profile") or b"", info.get("dpi"))

    def _tags(self) -> Directories:
        return read_block(self._image.info.get("exif", b""))

    def decode(self) -> np.ndarray:
        """(H, W), (H, W, 3) RGB or (H, W, 4), uint8 or uint16, as stored. Raises anything if broken."""
        image = self._image
        if image.format == "PNG":
            self._file.seek(0)
            PngImageFile(self._file).verify()  # checksums, at which no decoder looks
            self._file.seek(0)
            data = np.fromfile(self._file, np.uint8)
            if data[24] == 16:  # IHDR's bit depth
                return _opencv(data)
            del data
        image.load()
        kind = "L" if image.mode in ("1", "L") else "RGB"
        if image.has_transparency_data and image.format != "BMP":  # whose fourth byte is mostly unused
            kind = "RGBA"
        pixels = np.empty((*self.size, len(kind)) if len(kind) > 1 else self.size, np.uint8)
        for rows, top in zip(strips(pixels), range(0, self.size[0], ROWS)):
            part = image.crop((0, top, self.size[1], top + len(rows)))
            rows[:] = np.asarray(part if part.mode == kind else part.convert(kind))
        return pixels


class Tiff:
    """TIFF or BigTIFF, with what `Picture` has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        with tifffile.TiffFile(file) as pages:
            self._page = page = pages.pages[0]
            _refuse_unknown(page)
            others = itertools.islice(pages.pages, 1, 100)
            if any(other.subfiletype in _FULL_PICTURES for other in others):
                raise NotSupported("holds several pictures (pages); save each as a file of its own")
            self.size = (index(page.imagelength), index(page.imagewidth))  # a broken tag may hold several
            self.orientation = page.tags.valueof(ORIENTATION, 1)
            icc = page.tags.valueof(ICC, b"")
        self.metadata = Metadata.of(read_file_tags(file.name), icc)

    def decode(self) -> np.ndarray:
        """(H, W), (H, W, 3) RGB or (H, W, 4), uint8 or uint16, as stored. Raises anything if broken."""
        page = self._page
        self._file.seek(0)
        data = np.fromfile(self._file, np.uint8)
        if any(place + size > len(data) for place, size in zip(page.dataoffsets, page.databytecounts)):
            raise ValueError("cut short")
        # OpenCV turns some files itself, and in others multiplies the colours by their opacity.
        for name, plain in ((ORIENTATION, 1), (_EXTRA_SAMPLES, _UNSPECIFIED)):
            if name in page.tags:
                place, order = page.tags[name].valueoffset, page.parent.byteorder
                data[place : place + 2].view(order + "u2")[:] = plain
        pixels = _opencv(data)
        return _from_float(pixels) if pixels.dtype == np.float32 else pixels


def _refuse_unknown(page: tifffile.TiffPage) -> None:
    if page.photometric == 5:
        raise NotSupported("is a CMYK picture; convert it to RGB first")
    if page.photometric in (32803, 34892):
        raise NotSupported("holds a camera's raw data; give it to a network for raw files, as .dng")
    if page.photometric not in (0, 1, 2, 3, 6) or page.samplesperpixel not in (1, 3, 4):
        raise NotSupported(
            f"is a TIFF of {page.samplesperpixel} channels and colour type {int(page.photometric)}; "
            "save it as grey or RGB"
        )
    # OpenCV gives other pixels than these files have.
    if page.bitspersample != 8 and page.planarconfig == 2 and page.samplesperpixel > 1:
        raise NotSupported("is a TIFF whose channels lie apart; save it with interleaved ones")
    if page.bitspersample == 16 and page.photometric == 0:
        raise NotSupported("is a 16-bit TIFF in which 0 is white; save it with 0 as black")
    numbers = (page.sampleformat, page.bitspersample)
    if numbers not in {(1, 1), (1, 4), (1, 8), (1, 16), (3, 32)}:
        name = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(page.sampleformat, "unknown")
        raise NotSupported(f"is a TIFF of {numbers[1]}-bit {name} numbers; save it with 8 or 16 bits")


def _opencv(data: np.ndarray) -> np.ndarray:
    # "Unchanged" turns nothing. Not IMREAD_COLOR_RGB: OpenCV 5.0 fills 16-bit TIFF with garbage by it.
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        for rows in strips(pixels):
            rows[:] = cv2.cvtColor(rows, code)
    return pixels


def _from_float(image: np.ndarray) -> np.ndarray:
    lowest, highest = float(image.min()), float(image.max())
    if not np.isfinite(lowest + highest):
        raise NotSupported("has NaN or infinite pixels; repair them first")
    if lowest < 0 or highest > 1:
        raise NotSupported(
            f"has numbers from {lowest:g} to {highest:g}; scale a floating-point picture to [0, 1]"
        )
    return to_integer(image, 16)
