"""Photograph -> stabilised planes of a noisy raw frame, and of the frame without noise.

The photograph is unprocessed (`camera.py`), seen through a lens, exposed and mosaiced. Noise is Poisson plus
Gaussian as in `noise.py`, but in fractions of white, as `data/stabilise.py` takes it. All that a denoiser
of stabilised frames can tell of a camera is drawn: electrons at white, read noise before and after the
amplifier, row noise, steps of the converter, and how dark the frame is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot

import cv2
import numpy as np

from paddle_restore.data.pixels import draw_flips, flip
from paddle_restore.data.stabilise import stabilise, stabilised_mean, unstabilise
from paddle_restore.data.synthetic.camera import Development, sensor_radiance

_MARGIN = 8
"""Pixels around a frame that blurring and scaling see."""

_MANY = 25
"""Mean number of electrons from which on shot noise is drawn from a normal distribution: much faster."""


@dataclass(frozen=True)
class RawExposure:
    """Noise and rounding of a raw frame; standard deviations are fractions of white.

    gain        1 / electrons at white
    steps       of the converter, between black and white
    clip_black  values below black are lost, as in files of some older cameras
    """

    gain: float
    read: float
    row: float
    steps: int
    clip_black: bool = False

    @property
    def variance(self) -> float:
        """The part that does not depend on the signal."""
        return self.read**2 + self.row**2 + 1 / (12 * self.steps**2)


@dataclass(frozen=True)
class Frame:
    """A frame to take: what the lens sees and how the sensor is exposed.

    enlarged  sensor pixels per pixel of the photograph, >= 1: no lens is as sharp as a photograph that was
              shrunk
    blur      standard deviation in sensor pixels, 0 is none
    ratio     the light is this many times weaker than `development` says
    """

    development: Development
    exposure: RawExposure
    enlarged: float = 1.0
    blur: float = 0.0
    ratio: float = 1.0


def draw_frame(development: Development, rng: np.random.Generator) -> Frame:
    """Draw a camera of 4,000 to 160,000 electrons at ISO 100, at ISO 100 to 25600, up to x300 too dark."""
    electrons = _between(4e3, 1.6e5, rng) * 100 / _between(100, 25600, rng)
    steps = 2 ** int(rng.integers(10, 15)) - 1
    read = hypot(_between(0.7, 8, rng) / electrons, _between(0.2, 1.5, rng) / steps)
    chance = rng.random(5)
    # Of a photograph whose white has less than ten electrons little can be restored.
    ratio = 1.0 if chance[0] < 0.45 else max(min(_between(1, 300, rng), electrons / 10), 1.0)
    exposure = RawExposure(
        gain=1 / electrons,
        read=read,
        row=read * float(rng.uniform(0, 0.3)) if chance[1] < 0.3 else 0.0,
        steps=steps,
        clip_black=bool(chance[2] < 0.04),
    )
    enlarged = float(rng.uniform(1.2, 2.2)) if chance[3] < 0.35 else 1.0
    blur = float(rng.uniform(0.3, 0.9)) if chance[4] < 0.6 else 0.0
    return Frame(development, exposure, enlarged, blur, ratio)


def frame_side(size: int, frame: Frame) -> int:
    """Return how many pixels of a photograph, along each side, planes of `size` are made from."""
    return int(np.ceil((2 * size + 2 * _MARGIN) / frame.enlarged))


def take_frame(
    photo: np.ndarray, size: int, frame: Frame, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the noisy and the clean planes of a photograph's window, (4, size, size) float32, 1 is white.

    photo  (side, side, 3) uint8 sRGB, side = `frame_side(size, frame)`
    """
    light = sensor_radiance(photo, frame.development) / np.float32(frame.ratio)
    side = 2 * size + 2 * _MARGIN
    if frame.enlarged > 1:
        light = np.maximum(cv2.resize(light, (side, side), interpolation=cv2.INTER_CUBIC), 0)
    if frame.blur:
        light = cv2.GaussianBlur(light, (0, 0), frame.blur)
    choice = draw_flips(rng, (0.5, 0.5, 0.5))
    light = flip(light[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].transpose(2, 0, 1), *choice)
    red, green, blue = light
    signal = np.stack([red[::2, ::2], green[::2, 1::2], blue[1::2, 1::2], green[1::2, ::2]])
    return expose_planes(signal, frame.exposure, rng), np.minimum(signal, 1)


def expose_planes(signal: np.ndarray, exposure: RawExposure, rng: np.random.Generator) -> np.ndarray:
    """Return the noisy planes of a signal, (4, h, w) float32, both in fractions of white."""
    e, shape = exposure, signal.shape
    if signal.mean() < _MANY * e.gain:
        noisy = rng.poisson(signal / e.gain).astype(np.float32) * np.float32(e.gain)
    else:
        noisy = signal + np.sqrt(np.float32(e.gain) * signal) * rng.standard_normal(shape, np.float32)
    noisy += np.float32(e.read) * rng.standard_normal(shape, np.float32)
    rows = rng.standard_normal((2, shape[1], 1), np.float32)
    noisy += np.float32(e.row) * rows[[0, 0, 1, 1]]  # red and green share a row, blue and green the next
    noisy = np.rint(noisy * e.steps) / np.float32(e.steps)
    return np.clip(noisy, 0 if e.clip_black else None, 1)


def stabilised_pair(
    noisy: np.ndarray, clean: np.ndarray, gain: float, variance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a network reads and should find: stabilised by these noise parameters."""
    return stabilise(noisy, gain, variance), stabilised_mean(clean, gain, variance)


def developer(frame: Frame, clean: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from stabilised planes (4, h, w) to a picture (3, h, w) in [0, 1].

    It has one pixel for each cell, white balance and gamma 2.2, and is as bright as `clean` needs it.
    """
    exposure, balance = frame.exposure, frame.development.white_balance.astype(np.float32)[:, None, None]

    def colours(planes: np.ndarray) -> np.ndarray:
        return np.stack([planes[0], (planes[1] + planes[3]) / 2, planes[2]]) * balance

    white = max(float(np.percentile(colours(clean), 99)), 1e-6)

    def develop(planes: np.ndarray) -> np.ndarray:
        linear = colours(unstabilise(planes, exposure.gain, exposure.variance))
        return np.clip(linear / white, 0, 1) ** np.float32(1 / 2.2)

    return develop


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
