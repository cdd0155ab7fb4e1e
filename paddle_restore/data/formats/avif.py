"""AVIF: Pillow opens and writes it and decodes 8 bits; imagecodecs decodes 10 and 12 bits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, BinaryIO, Optional

import numpy as np
from PIL import features
from PIL.AvifImagePlugin import AvifImageFile

from paddle_restore.data.boxes import box_content, named_profile
from paddle_restore.data.formats import Format, NotSupported, add_format
from paddle_restore.data.formats.jpeg import GAIN_MAP, GAIN_MAP_NOTE
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.pillow import PillowPicture, pillow_writer
from paddle_restore.data.pixels import read_bytes, stretch_to_16_bits

QUALITY = 90
_CONFIGURATION = re.compile(rb"av1C.(.)(.)", re.DOTALL)
_HIGH, _TWELVE = 0x40, 0x20  # bits of AV1's configuration


class AvifPicture(PillowPicture):
    def __init__(self, file: BinaryIO) -> None:
        if not features.check("avif"):
            raise NotSupported("is an AVIF picture, and this build of Pillow reads none; install its wheel")
        super().__init__(file, AvifImageFile)
        self._meta = box_content(file, b"meta")
        found = _CONFIGURATION.search(self._meta)
        flags = found[2][0] if found else 0
        self._depth = (12 if flags & _TWELVE else 10) if flags & _HIGH else 8
        self.notes += [GAIN_MAP_NOTE] if GAIN_MAP.search(self._meta) else []
        self._named, note = named_profile(self._meta)
        self.notes += [note] if note and not self.image.info.get("icc_profile") else []

    @property
    def metadata(self) -> Metadata:
        found = super().metadata
        return replace(found, icc=found.icc or self._named)

    def decode(self) -> np.ndarray:
        if self._depth == 8:
            return super().decode()
        try:
            from imagecodecs import avif_decode
        except ImportError:
            self.notes.append(
                f"has {self._depth} bits, of which 8 are read; install imagecodecs for all of them "
                '(pip install "paddle_restore[formats]")'
            )
            return super().decode()
        return stretch_to_16_bits(avif_decode(read_bytes(self.file).tobytes()), self._depth)


def _options(exif: bytes, quality: Optional[int]) -> dict[str, Any]:
    return {"exif": exif, "quality": quality or QUALITY, "subsampling": "4:4:4"}


add_format(
    Format(
        title="AVIF",
        suffixes=(".avif",),
        mime="image/avif",
        magic=rb"....ftyp(?:avi[fs]|(?:mif1|msf1).{4}(?:.{4})*?avi[fs])",
        open=AvifPicture,
        write=pillow_writer("AVIF", _options),
        alpha=True,
        offered=False,
    )
)
