"""Encoding picture files: Pillow writes JPEG, WebP and BMP, tifffile TIFF, and OpenCV PNG.

Pillow has no 16-bit RGB PNG, and takes three times as long for 8 bit (docs/pictures.md).
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO, Optional

import cv2
import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import putchunk

from paddle_restore.data.metadata import MAIN, UNIT, Metadata, pack_block

JPEG_QUALITY = 95
_JPEG_EXIF_MOST = 65533
_LOSSLESS_EFFORT = 70
_STRIP_BYTES = 1 << 20
_LONG = 4


class CannotHold(Exception):
    """The format has no room for such a picture."""


def encode(
    file: BinaryIO, image: np.ndarray, suffix: str, metadata: Metadata, quality: Optional[int]
) -> None:
    """Write an (H, W), (H, W, 3) or (H, W, 4) picture of uint8, or uint16 for PNG and TIFF, as RGB in order.

    BMP has no room for EXIF and profile; a JPEG's EXIF must be below 64 KiB. Raises CannotHold, and
    OSError where the disk is full.
    """
    if suffix == ".png":
        _png(file, image, metadata)
    elif suffix in (".tif", ".tiff"):
        _tiff(file, image, metadata)
    else:
        _pillow(file, image, suffix, metadata, quality)


def _described(image: np.ndarray, metadata: Metadata) -> tuple[bytes, bytes]:
    """Return the EXIF block and the ICC profile, each b"" for none."""
    exif = pack_block(metadata.directories(*image.shape[:2]))
    return exif, metadata.profile(image.shape[2] if image.ndim == 3 else 1)


def _png(file: BinaryIO, image: np.ndarray, metadata: Metadata) -> None:
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    try:
        good, encoded = cv2.imencode(".png", image)  # its options are its quickest already (docs/pictures.md)
    except cv2.error:
        good = False
    if not good:
        raise CannotHold
    exif, icc = _described(image, metadata)
    header = 8 + 25  # the signature and IHDR, which comes first
    file.write(encoded[:header])
    if icc:
        putchunk(file, b"iCCP", b"ICC profile\0\0", zlib.compress(icc))
    if metadata.dpi:
        putchunk(file, b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata.dpi), 1))
    if exif:
        putchunk(file, b"eXIf", exif)
    file.write(encoded[header:])


def _pillow(
    file: BinaryIO, image: np.ndarray, suffix: str, metadata: Metadata, quality: Optional[int]
) -> None:
    exif, icc = _described(image, metadata)
    options: dict = {"icc_profile": icc or None}
    if metadata.dpi:
        options["dpi"] = tuple(min(round(value), 65535) for value in metadata.dpi)
    if suffix == ".webp":
        options.update(exif=exif, lossless=not quality, exact=True, quality=quality or _LOSSLESS_EFFORT)
    elif suffix in (".jpg", ".jpeg"):
        exif = b"Exif\0\0" + exif if exif else b""
        options.update(exif=exif if len(exif) <= _JPEG_EXIF_MOST else b"", quality=quality or JPEG_QUALITY)
    encoded = io.BytesIO()
    try:
        Image.fromarray(image).save(encoded, {".webp": "WEBP", ".bmp": "BMP"}.get(suffix, "JPEG"), **options)
    except (OSError, ValueError, SystemError):
        raise CannotHold from None
    file.write(encoded.getbuffer())


def _tiff(file: BinaryIO, image: np.ndarray, metadata: Metadata) -> None:
    """Deflate of horizontal differences.

    tifffile leaves the pointers to EXIF and GPS out, so they are put over placeholders.
    """
    height, width = image.shape[:2]
    channels = image.shape[2] if image.ndim == 3 else 1
    found = metadata.directories(height, width)
    main = found.pop(MAIN, {})
    tags = [
        (name, main.tagtype[name], len(value) if isinstance(value, bytes) else 1, value, True)
        for name, value in main.items()
        if isinstance(value, (bytes, int)) and name != UNIT  # which tifffile writes itself
    ]
    tags += [(name - 1, _LONG, 1, 0, True) for name in found]
    try:
        tifffile.imwrite(
            file,
            image,
            photometric="rgb" if channels > 1 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels == 4 else None,
            compression="zlib",
            compressionargs={"level": 1},
            predictor=True,
            rowsperstrip=max(1, _STRIP_BYTES // (width * channels * image.itemsize)),
            iccprofile=metadata.profile(channels) or None,
            resolution=metadata.dpi,
            resolutionunit=2 if metadata.dpi else None,
            metadata=None,
            software=False,
            bigtiff=False,
            byteorder="<",
            extratags=tags,
        )
    except (ValueError, struct.error):
        raise CannotHold from None
    if not found:
        return
    file.seek(0)
    with tifffile.TiffFile(file) as written:
        places = {name: written.pages[0].tags[name - 1].offset for name in found}
    for name, place in places.items():
        end = file.seek(0, io.SEEK_END)
        end += file.write(b"\0" * (end % 2))
        file.write(found[name].tobytes(end))
        file.seek(place)
        file.write(struct.pack("<HHII", name, _LONG, 1, end))
