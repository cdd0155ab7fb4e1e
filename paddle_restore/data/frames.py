"""Where a dataset takes its decoded frames from."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Protocol

import numpy as np

from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import develop, read_raw, warn_of_black_level


class Frames(Protocol):
    """A source of decoded raw files. `target` is aligned with the whole mosaic, pixel by pixel."""

    def raw(self, path: Path) -> RawImage: ...

    def target(self, path: Path) -> np.ndarray:
        """(H, W, 3) uint16 sRGB."""
        ...


class DecodedFrames:
    """Decode at every access: no memory, no disk, and the whole cost every time."""

    def __init__(self, black_level: Optional[float] = None, white_level: Optional[float] = None):
        self.levels = (black_level, white_level)

    def raw(self, path: Path) -> RawImage:
        raw = read_raw(path)
        warn_of_black_level(raw, self.levels[0])
        return raw.with_levels(*self.levels)

    def target(self, path: Path) -> np.ndarray:
        return develop(path)
