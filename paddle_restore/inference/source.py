"""What a network's windows are cut from: a picture or a mosaic, held in its own integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from paddle_restore.data.image import to_float
from paddle_restore.data.mosaic import RawImage, check_kind, network_input
from paddle_restore.data.transforms import flip
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR

Transform = tuple[bool, bool, bool]
"""Flip rows, flip columns, then transpose."""

IDENTITY: Transform = (False, False, False)


@dataclass(frozen=True)
class Source:
    """A network's whole input, made float only window by window, so that it costs the file's own bytes.

    values  (3, H, W) uint8, uint16 or float32 picture, or the mosaic with its levels
    kind    the network's kind of input, a key of PACK_FACTOR
    ratio   amplification of a mosaic
    """

    values: Union[np.ndarray, RawImage]
    kind: str
    ratio: float = 1.0

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the picture or of the mosaic."""
        return self.values.mosaic.shape if isinstance(self.values, RawImage) else self.values.shape[1:]

    def turned(self, transform: Transform = IDENTITY) -> Optional[Turned]:
        """Return the input as the network shall see it, flipped; None where the pattern does not survive.

        A mosaic that begins at another colour than the network's pattern, as a flipped one does, is
        grown by a row or column. Raises UserError for a sensor of another kind than the network's.
        """
        if not isinstance(self.values, RawImage):
            return Turned(Source(flip(self.values, *transform), self.kind), transform, (0, 0))
        check_kind(self.values, self.kind)
        try:
            grown, offset = self.values.flipped(*transform).extended()
        except UserError:
            if transform == IDENTITY:
                raise
            return None
        return Turned(Source(grown, self.kind, self.ratio), transform, offset)


@dataclass(frozen=True)
class Turned:
    """A source that begins where the network's colour pattern does; its windows are network inputs.

    offset  rows and columns that were added at the top and left
    """

    source: Source
    transform: Transform
    offset: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in network input pixels."""
        factor = PACK_FACTOR[self.source.kind]
        height, width = self.source.picture_size
        return height // factor, width // factor

    def window(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """(C, height, width) float32 in [0, 1]; beyond the bottom and right edge by reflection."""
        rows, columns = (max(0, n - whole) for n, whole in zip((top + height, left + width), self.size))
        part = self._inside(top, left, height - rows, width - columns)
        if not (rows or columns):
            return np.ascontiguousarray(part)
        return np.pad(part, ((0, 0), (0, rows), (0, columns)), mode="reflect")

    def _inside(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        values = self.source.values
        if not isinstance(values, RawImage):
            return to_float(values[:, top : top + height, left : left + width])
        factor = PACK_FACTOR[self.source.kind]
        part = values.crop(*(factor * n for n in (top, left, height, width)))
        return network_input(part, self.source.kind, self.source.ratio)
