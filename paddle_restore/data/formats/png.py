"""PNG: Pillow opens it and decodes 8 bits; OpenCV decodes 16 bits, which Pillow would reduce to 8.

OpenCV encodes it, because Pillow has no 16-bit RGB and takes three times as long for 8 bits
(docs/pictures.md). The chunks with metadata are put in afterwards.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, Optional

import cv2
import numpy as np
from PIL.PngImagePlugin import PngImageFile, putchunk

from paddle_restore.data.formats import CannotHold, Format, add_format
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.pillow import PillowPicture
from paddle_restore.data.pixels import decode_by_opencv

_DEPTH_OFFSET = 24  # of IHDR's bit depth in the file
_HEADER = 8 + 25  # bytes of the signature and of IHDR, which comes first


class PngPicture(PillowPicture):
    def decode(self) -> np.ndarray:
        self.file.seek(0)
        PngImageFile(self.file).verify()  # checksums, which no decoder looks at
        self.file.seek(0)
        data = np.fromfile(self.file, np.uint8)
        if data[_DEPTH_OFFSET] == 16:
            return decode_by_opencv(data)
        del data
        return super().decode()


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    exif, icc = metadata.exif_block(image), metadata.profile(image)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    try:
        # OpenCV's default options are its fastest (docs/pictures.md).
        good, encoded = cv2.imencode(".png", image)
    except cv2.error:
        good = False
    if not good:
        raise CannotHold
    data = encoded.data
    file.write(data[:_HEADER])
    if icc:
        putchunk(file, b"iCCP", b"ICC profile\0\0", zlib.compress(icc))
    if metadata.dpi:
        across, down = (round(value / 0.0254) for value in metadata.dpi)
        putchunk(file, b"pHYs", struct.pack(">IIB", across, down, 1))  # pixels per metre
    if exif:
        putchunk(file, b"eXIf", exif)
    file.write(data[_HEADER:])


add_format(
    Format(
        title="PNG",
        suffixes=(".png",),
        mime="image/png",
        magic=rb"\x89PNG",
        open=lambda file: PngPicture(file, PngImageFile),
        write=_write,
        depths=(8, 16),
        alpha=True,
    )
)
