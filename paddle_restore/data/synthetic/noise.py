"""Noise of a camera's sensor in the raw domain, and short exposures made from long ones by it.

    DN = round(gain * Poisson(signal / gain) + N(0, read) + one N(0, row) a row)

Shot noise is Poisson in electrons. Read and row noise have two parts: the ISO's amplifier multiplies one,
and the other is added after it. Their standard deviation in DN is sqrt((electrons * gain)^2 + dn^2).
Rounding adds 1/12 DN^2. `SensorNoise.variance` is the variance at a mean signal.

Sources: Foi et al., "Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image
Raw-Data", TIP 2008; row noise and quantisation as in Wei et al., "A Physics-based Noise Formation
Model for Extreme Low-light Raw Denoising", CVPR 2020 (whose read noise is long-tailed; here it is
Gaussian).

To calibrate a camera, `measure` the noise at two ISOs, which separates electrons from dn (docs/data.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar, Union

import numpy as np
from pydantic import Field, field_validator, model_validator

from paddle_restore.data.mosaic import RawImage
from paddle_restore.errors import UserError, line_of
from paddle_restore.options import Options, validate
from paddle_restore.yaml_file import read_yaml

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Range = tuple[float, float]
Number = TypeVar("Number", float, np.ndarray)


@dataclass(frozen=True)
class SensorNoise:
    """Noise at one ISO: gain in DN per electron, standard deviations in DN."""

    gain: float
    read: float
    row: float

    def variance(self, signal: Number) -> Number:
        """Return the variance in DN^2 of pixels whose expected value is `signal` DN above black."""
        return self.gain * signal + self.read**2 + self.row**2 + 1 / 12


class Floor(Options):
    """Noise that does not depend on the signal: before the ISO's amplifier (electrons) and after it (DN)."""

    electrons: NonNegative
    dn: NonNegative

    def at_gain(self, gain: float) -> float:
        return hypot(self.electrons * gain, self.dn)


class Camera(Options):
    """A sensor: the keys of configs/cameras/*.yml."""

    name: str
    black_level: Annotated[int, Field(ge=0)]
    white_level: Annotated[int, Field(gt=0, le=65535)]
    white_balance: tuple[Positive, Positive, Positive]
    color_matrix: Annotated[tuple[float, ...], Field(min_length=9, max_length=9)]
    gain_iso100: Positive
    read_noise: Floor
    row_noise: Floor

    @model_validator(mode="after")
    def _black_below_white(self) -> Camera:
        if self.black_level >= self.white_level:
            raise ValueError(f"black_level {self.black_level} must be below white_level {self.white_level}")
        return self

    def noise(self, iso: float) -> SensorNoise:
        gain = self.gain_iso100 * iso / 100
        return SensorNoise(gain, self.read_noise.at_gain(gain), self.row_noise.at_gain(gain))

    def expose(
        self, values: np.ndarray, iso: float, rng: np.random.Generator, ratio: float = 1.0
    ) -> np.ndarray:
        """Return the (H, W) uint16 mosaic of one exposure, in DN with the black level.

        values  (H, W), light behind the colour filters, 1 = saturation in the long exposure
        ratio   long over this exposure time
        """
        signal = values * ((self.white_level - self.black_level) / ratio)
        dn = add_noise(signal, self.noise(iso), rng) + self.black_level
        return np.clip(dn, 0, self.white_level).astype(np.uint16)


def add_noise(signal: np.ndarray, noise: SensorNoise, rng: np.random.Generator) -> np.ndarray:
    """Return `signal` with shot, read and row noise, rounded to whole DN.

    signal  (..., H, W), expected DN above black, >= 0; its rows are the sensor's rows
    Returns float32 of the same shape, DN above black, not clipped at saturation. Noise below black is
    negative.

    `add_noise(long / ratio, noise, rng)` makes a short exposure of a clean long one, where `long` is a
    mosaic minus its black level. Packing comes afterwards, because it splits the rows.
    """
    shape = np.shape(signal)
    dn = (rng.poisson(np.asarray(signal) / noise.gain) * noise.gain).astype(np.float32)
    dn += noise.read * rng.standard_normal(shape, np.float32)
    dn += noise.row * rng.standard_normal((*shape[:-1], 1), np.float32)
    return np.rint(dn, out=dn)


def measure(
    flats: Sequence[tuple[np.ndarray, np.ndarray]], dark: tuple[np.ndarray, np.ndarray]
) -> SensorNoise:
    """Return a camera's noise at one ISO from photographs.

    flats  pairs of equal exposures of an evenly lit surface, at several brightnesses; each frame is
           one colour of the mosaic, (H, W), DN above black, without saturated pixels
    dark   two frames with the lens cap on, whole rows of the sensor

    The difference of a pair contains neither the lens's shading nor the fixed pattern.
    """
    means = [(first.mean(dtype=float) + second.mean(dtype=float)) / 2 for first, second in flats]
    variances = [np.subtract(*pair, dtype=float).var() / 2 for pair in flats]
    gain = float(np.polyfit(means, variances, 1)[0])
    difference = np.subtract(*dark, dtype=float) / np.sqrt(2)
    within = difference.var(axis=1, ddof=1).mean()
    row = difference.mean(axis=1).var(ddof=1) - within / difference.shape[1]
    return SensorNoise(gain, float(max(within - 1 / 12, 0) ** 0.5), float(max(row, 0) ** 0.5))


def load_camera(path: Union[str, Path]) -> Camera:
    """Read a camera's YAML file. Raises UserError if it is missing or wrong."""
    try:
        values = read_yaml(Path(path))
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        raise UserError(f"{path}: cannot read the camera file ({line_of(error)})") from None
    return validate(Camera, values, path)


class NoiseOptions(Options):
    """`data.noise`: the sensor, and ranges that each sample draws from (log-uniform)."""

    camera: Path = Field(description="the sensor, e.g. configs/cameras/sony_a7s2.yml")
    ratio: Range = Field(description="long over short exposure time: a range, or one number")
    iso: Optional[Range] = Field(None, description="a range, or one number; default: that of the file")

    @field_validator("ratio", "iso", mode="before")
    @classmethod
    def _one_number_is_a_range(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, (int, float)) else value

    @field_validator("ratio", "iso")
    @classmethod
    def _ordered(cls, value: Optional[Range]) -> Optional[Range]:
        if value and not 0 < value[0] <= value[1] < float("inf"):
            raise ValueError("expected two positive numbers, the smaller first")
        return value


class ShortExposures:
    """Makes short exposures by the camera of `options` from long ones."""

    def __init__(self, options: NoiseOptions):
        self.options = options
        self.camera = load_camera(options.camera)

    def make(self, long: RawImage, rng: np.random.Generator) -> tuple[RawImage, float]:
        """Return a noisy short exposure of the clean `long` one, and its amplification ratio.

        It has the camera's levels. Pixels that are saturated in `long` count as just saturated. Raises
        UserError if neither the recipe nor the file has the ISO.
        """
        ratio = _draw(self.options.ratio, rng)
        iso = _draw(self.options.iso or (long.iso, long.iso), rng)
        if iso <= 0:
            raise UserError(f"{long.path}: does not say its ISO; set data.noise.iso")
        black = float(self.camera.black_level)
        short = replace(
            long,
            mosaic=self.camera.expose(long.normalised()[0], iso, rng, ratio),
            black_level=(black, black, black, black),
            white_level=float(self.camera.white_level),
            exposure_time=long.exposure_time / ratio,
            iso=iso,
        )
        return short, ratio


def _draw(limits: Range, rng: np.random.Generator) -> float:
    low, high = limits
    return low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))
