"""HEIC and HEIF, the files of iPhones and of newer cameras (HIF), by libheif. They are only read.

The decoder's package is pi-heif; pillow-heif, which also encodes and whose wheels are under the GPL, serves
in its place.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from paddle_restore.data.boxes import profile_with_note
from paddle_restore.data.formats import Format, NotSupported, add_format
from paddle_restore.data.formats.jpeg import GAIN_MAP, GAIN_MAP_NOTE
from paddle_restore.data.metadata import Metadata, read_block
from paddle_restore.data.pixels import divide_by_opacity, read_bytes, stretch_to_16_bits


class HeicPicture:
    """An `OpenPicture` of the primary picture. libheif turns it upright."""

    orientation = 1

    def __init__(self, file: BinaryIO) -> None:
        data = read_bytes(file)
        pictures = _library().open_heif(file, convert_hdr_to_8bit=False)
        self._picture: Any = pictures[pictures.primary_index]
        width, height = self._picture.size
        self.size = (height, width)
        self.notes = [GAIN_MAP_NOTE] if GAIN_MAP.search(data.data) else []
        info = self._picture.info
        icc = info.get("icc_profile") or b""
        named = info.get("nclx_profile")
        if named and not icc:
            icc, note = profile_with_note(named["color_primaries"], named["transfer_characteristics"])
            self.notes += [note] if note else []
        self.metadata = Metadata.of(read_block(info.get("exif") or b""), icc)

    def decode(self) -> np.ndarray:
        picture = self._picture
        pixels, depth = np.array(picture), picture.info["bit_depth"]
        if pixels.dtype == np.uint16:  # with the bits at its upper end
            pixels = stretch_to_16_bits(pixels >> (16 - depth), depth)
        if picture.mode.startswith(("RGBa", "La")):
            divide_by_opacity(pixels)
        return pixels


def _library() -> ModuleType:
    try:
        import pi_heif

        return pi_heif
    except ImportError:
        pass
    try:
        import pillow_heif

        return pillow_heif
    except ImportError:
        raise NotSupported("is a HEIC picture; install pi-heif to read it (pip install pi-heif)") from None


add_format(
    Format(
        title="HEIC",
        suffixes=(".heic", ".heif", ".hif"),
        mime="image/heic",
        magic=rb"....ftyp(?:hei[cmsx]|hev[cmsx]|(?:mif1|msf1).{4}(?:.{4})*?hei[cmsx])",
        open=HeicPicture,
        write=None,
        depths=(8, 16),
        alpha=True,
        instead="jpg",
        offered=False,
    )
)
