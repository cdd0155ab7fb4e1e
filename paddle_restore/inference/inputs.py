"""What a network reads: windows of a picture or mosaic, and windows of noise for a latent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Union

import numpy as np

from paddle_restore.arithmetic import ceil_div
from paddle_restore.data.camera_facts import CameraFacts
from paddle_restore.data.develop import develop_mosaic
from paddle_restore.data.image import PLAIN, Form
from paddle_restore.data.mosaic import RawImage, check_kind, network_input
from paddle_restore.data.pixels import flip, stretched, to_float, to_integer, upright
from paddle_restore.data.sensor_noise import SensorNoise
from paddle_restore.data.stabilise import stabilise, unstabilise
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, Latent

Transform = tuple[bool, bool, bool]
"""Flip rows, flip columns, then transpose."""

IDENTITY: Transform = (False, False, False)

_NOISE_BLOCK = 64
_PREVIEW_PERIODS = 64  # rows of a preview's strip, in periods of the colour pattern


@dataclass(frozen=True)
class NetworkInput:
    """A decoded file or array. It keeps the file's integers; only windows of it become floats.

    values       picture (3, H, W) uint8, uint16 or float32, or a mosaic with its levels
    kind         input kind of the network, a key of PACK_FACTOR
    ratio        amplification of a mosaic; None leaves it as it is
    orientation  turns a mosaic's picture upright, as `pixels.upright` takes it
    form         depth, greyness, alpha channel and metadata of the file
    clip         an amplified mosaic is clipped at 1: ModelSpec.clip
    noise        of a mosaic whose windows are stabilised, for a network that restores mosaics
    camera       facts of a mosaic that is developed
    name         of the file in messages
    """

    values: Union[np.ndarray, RawImage]
    kind: str
    ratio: Optional[float] = None
    orientation: int = 0
    form: Form = PLAIN
    clip: bool = True
    noise: Optional[SensorNoise] = None
    camera: Optional[CameraFacts] = None
    name: str = ""

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width in pixels of the picture or of the sensor."""
        height, width = self._array.shape[-2:]
        return height, width

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in network input pixels."""
        factor = PACK_FACTOR[self.kind]
        height, width = self.picture_size
        return height // factor, width // factor

    @property
    def _array(self) -> np.ndarray:
        return self.values.mosaic if isinstance(self.values, RawImage) else self.values

    def flipped(self, transform: Transform) -> Optional[tuple[NetworkInput, tuple[int, int]]]:
        """Return the flipped input, and how many rows and columns were added at its top and left.

        A mosaic, also one that is not flipped, grows by rows and columns until it begins at the colour
        that the network expects. None where the flipped colour pattern cannot be shifted to it.
        Raises UserError for a sensor of another kind than the network's.
        """
        if not isinstance(self.values, RawImage):
            return replace(self, values=flip(self.values, *transform)), (0, 0)
        check_kind(self.values, self.kind)
        try:
            grown, offset = self.values.flipped(*transform).extended()
        except UserError:
            if transform == IDENTITY:
                raise
            return None
        return replace(self, values=grown), offset

    def window(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """Return (C, height, width) float32 in [0, 1], reflected beyond the bottom and right edge.

        A mosaic may be above 1 without `clip`; with `noise` it is stabilised. The place is in network input
        pixels, of an input that `flipped` returned.
        """
        part = self._padded(top, left, height, width)
        return part if self.noise is None else stabilise(part, *self.noise.packed)

    def denoised(
        self, output: np.ndarray, window: tuple[int, int, int, int], strength: float = 1.0
    ) -> np.ndarray:
        """Return the mosaic's values of a network's output, both (4, height, width), for a `window`.

        They are neither amplified nor clipped. `strength` blends them with the input, and clipped pixels are
        the input's. The input has `noise`.
        """
        assert self.noise is not None
        noisy, clean = self._padded(*window), unstabilise(output, *self.noise.packed)
        if strength != 1:
            clean = noisy + np.float32(strength) * (clean - noisy)
        return np.where(noisy >= 1, noisy, clean)

    def _padded(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        rows, columns = (max(0, end - size) for end, size in zip((top + height, left + width), self.size))
        part = self._part(top, left, height - rows, width - columns)
        if not (rows or columns):
            return np.ascontiguousarray(part)
        return np.pad(part, ((0, 0), (0, rows), (0, columns)), mode="reflect")

    def _part(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        if not isinstance(self.values, RawImage):
            return to_float(self.values[:, top : top + height, left : left + width])
        top, left, height, width = (PACK_FACTOR[self.kind] * n for n in (top, left, height, width))
        part = self.values.crop(top, left, height, width)
        if self.noise is not None:
            return part.signal()
        return network_input(part, self.kind, 1.0 if self.ratio is None else self.ratio, self.clip)

    def preview(self) -> np.ndarray:
        """Return the picture, or the amplified mosaic, (H, W, 3) uint8, upright.

        A mosaic with `camera` is developed, another one is not demosaiced.
        """
        if not isinstance(self.values, RawImage):
            return to_integer(self.values.transpose(1, 2, 0))
        if self.camera is not None:
            return to_integer(to_float(develop_mosaic(self.values, self.camera, self.ratio or 1.0)[0]))
        grown, (top, left) = self.values.extended()
        rows, columns = grown.mosaic.shape
        step = _PREVIEW_PERIODS * grown.period
        picture = np.empty((rows, columns, 3), np.uint8)
        for start in range(0, rows, step):  # in strips: the floats of a whole frame take six times the file
            part = grown.crop(start, 0, min(step, rows - start), columns)
            picture[start : start + step] = to_integer(part.preview(self.ratio or 1.0).transpose(1, 2, 0))
        height, width = self.picture_size
        picture = stretched(picture[top : top + height, left : left + width], self.values.pixel_aspect)
        return upright(picture, self.orientation)


def noise_window(
    latent: Latent, seed: tuple[int, ...], top: int, left: int, height: int, width: int
) -> np.ndarray:
    """Draw a window of a frame's standard normal noise: float32 of `latent.shape(height, width)`.

    Place and size are in input pixels, multiples of the stride. Each block of the frame has its own
    generator, so tiles get the noise that the whole frame has there.
    """
    noise = np.empty(latent.shape(height, width), np.float32)
    top, left = top // latent.stride, left // latent.stride
    bottom, right = top + noise.shape[1], left + noise.shape[2]
    size = _NOISE_BLOCK
    for row in range(top // size, ceil_div(bottom, size)):
        for column in range(left // size, ceil_div(right, size)):
            rng = np.random.default_rng([*seed, row, column])
            block = rng.standard_normal((latent.channels, size, size), np.float32)
            y, x = row * size, column * size
            rows = slice(max(top, y), min(bottom, y + size))
            columns = slice(max(left, x), min(right, x + size))
            noise[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = block[
                :, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
            ]
    return noise
