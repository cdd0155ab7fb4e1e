"""JPEG 2000: Pillow opens it and decodes 8 bits; OpenCV decodes more bits. It is only read."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from paddle_restore.data.boxes import box_content, boxes
from paddle_restore.data.formats import Format, NotSupported, add_format
from paddle_restore.data.metadata import Directories, Metadata, read_block
from paddle_restore.data.pillow import PillowPicture
from paddle_restore.data.pixels import decode_by_opencv, read_bytes, stretch_to_16_bits

_CODESTREAM = b"\xff\x4f\xff\x51"
_PRECISION = 42  # of the first component, from the codestream's beginning
_EXIF = b"JpgTiffExif->JP2"  # name of the box
_ICC_METHODS = (2, 3)


class Jpeg2000Picture(PillowPicture):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, Jpeg2KImageFile)
        data = read_bytes(file)
        start = data.tobytes().find(_CODESTREAM)
        precision = int(data[start + _PRECISION])
        if precision & 0x80:
            raise NotSupported("is a JPEG 2000 of signed numbers; save it with 8 or 16 bits")
        self._depth = precision + 1
        is_jp2 = start > 0
        header = io.BytesIO(box_content(file, b"jp2h")) if is_jp2 else io.BytesIO()
        colours = box_content(header, b"colr")
        self._icc = colours[3:] if colours[:1] and colours[0] in _ICC_METHODS else b""
        uuids = [content for kind, content in boxes(file) if kind == b"uuid"] if is_jp2 else []
        self._exif = next((content[len(_EXIF) :] for content in uuids if content.startswith(_EXIF)), b"")
        file.seek(0)

    @property
    def metadata(self) -> Metadata:
        return replace(super().metadata, icc=self._icc)

    def _tags(self) -> Directories:
        return read_block(self._exif)

    def decode(self) -> np.ndarray:
        if self._depth <= 8:
            return super().decode()
        pixels = decode_by_opencv(read_bytes(self.file))
        return stretch_to_16_bits(pixels, self._depth)


add_format(
    Format(
        title="JPEG 2000",
        suffixes=(".jp2", ".j2k", ".jpx", ".j2c", ".jpf"),
        mime="image/jp2",
        magic=rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        open=Jpeg2000Picture,
        write=None,
        depths=(8, 16),
        alpha=True,
        offered=False,
    )
)
