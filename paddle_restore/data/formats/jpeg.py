"""JPEG by Pillow. Of a file with several pictures (MPO) the first is read.

The chroma of a restored picture is sampled like that of its JPEG, and fully if it comes from another format.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, BinaryIO, Optional

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from paddle_restore.data.formats import Format, add_format
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.pillow import PillowPicture, pillow_writer
from paddle_restore.data.pixels import read_bytes

QUALITY = 95
_MAX_EXIF = 65533  # a segment's length has 16 bits
_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}

# What files call the gain maps of Adobe and Android, of Apple, and of ISO 21496-1 (in JPEG, then in HEIC).
GAIN_MAP = re.compile(
    rb"ns\.adobe\.com/hdr-gain-map|aux:hdrgainmap|HDRGainMapVersion|urn:iso:std:iso:ts:21496:-1"
    rb"|infe.{8}tmap",
    re.DOTALL,
)
GAIN_MAP_NOTE = "has a gain map for HDR screens, which is left out; its standard picture is restored"


class JpegPicture(PillowPicture):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, JpegImageFile)

    def decode(self) -> np.ndarray:
        pixels = super().decode()
        if GAIN_MAP.search(read_bytes(self.file).data):
            self.notes.append(GAIN_MAP_NOTE)
        return pixels

    @property
    def metadata(self) -> Metadata:
        sampling = _SAMPLINGS.get(get_sampling(self.image), Metadata.sampling)
        return replace(super().metadata, sampling=sampling)


def _write(file: BinaryIO, image: np.ndarray, metadata: Metadata, quality: Optional[int]) -> None:
    def options(exif: bytes, quality: Optional[int]) -> dict[str, Any]:
        exif = b"Exif\0\0" + exif if exif else b""
        return {
            "exif": exif if len(exif) <= _MAX_EXIF else b"",
            "quality": quality or QUALITY,
            "subsampling": metadata.sampling,
        }

    pillow_writer("JPEG", options)(file, image, metadata, quality)


add_format(
    Format(
        title="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
        mime="image/jpeg",
        magic=rb"\xff\xd8\xff",
        open=JpegPicture,
        write=_write,
    )
)
