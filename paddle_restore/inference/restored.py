"""What a network has made of a file: a picture, or a raw frame again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Optional

import numpy as np

from paddle_restore.data.camera_facts import CameraFacts
from paddle_restore.data.develop import develop_mosaic
from paddle_restore.data.dng import write_raw
from paddle_restore.data.image import PLAIN, Form, write_image
from paddle_restore.data.mosaic import RawImage

DNG = "dng"
"""Name of the format of restored raw frames."""

SRGB = "srgb"


@dataclass(frozen=True)
class Restored:
    """A finished picture, upright, and the ratio that was used (raw only).

    picture  (H, W, 3) float32 in [0, 1], or integers of the depth that was asked for
    form     the input picture's depth, greyness, alpha channel and metadata: `form.shape(picture)` is the
             picture in them
    """

    picture: np.ndarray
    ratio: Optional[float]
    form: Form = PLAIN

    def write(self, path: Path, depth: Optional[int] = None, metadata: Optional[bool] = None) -> None:
        """Write the picture in the form of its input; `metadata` False leaves profile and EXIF out."""
        known = self.form.metadata
        kept = known.without_words() if metadata is False else known
        write_image(path, self.form.shape(self.picture, depth), metadata=kept)


@dataclass(frozen=True)
class RestoredRaw:
    """A denoised raw frame.

    raw     float32 mosaic, black 0, white 1, values beyond them where the file has them
    camera  what its DNG and its development need
    ratio   exposure of its development
    form    metadata of its development
    """

    raw: RawImage
    camera: CameraFacts
    ratio: float
    form: Form = PLAIN

    @property
    def picture(self) -> np.ndarray:
        """LibRaw's development in sRGB, (H, W, 3) uint16, upright."""
        return self._srgb.picture

    @cached_property
    def _srgb(self) -> Restored:
        return self._developed(SRGB)

    def write(
        self,
        path: Path,
        depth: Optional[int] = None,
        metadata: Optional[bool] = None,
        colour_space: str = SRGB,
    ) -> None:
        """Write a DNG or, by the name's suffix, a developed picture with its profile.

        `metadata` True copies all that the file says; None leaves place and serial number of a DNG out, and
        False all EXIF of a picture too.
        """
        if path.suffix.lower() == f".{DNG}":
            write_raw(path, self.raw, self.camera, bool(metadata))
        else:
            developed = self._srgb if colour_space == SRGB else self._developed(colour_space)
            developed.write(path, depth, metadata)

    def _developed(self, colour_space: str) -> Restored:
        picture, profile = develop_mosaic(self.raw, self.camera, self.ratio, colour_space)
        metadata = self.form.metadata.with_profile(profile, colour_space == SRGB)
        return Restored(picture, self.ratio, replace(self.form, metadata=metadata))
