"""Short exposures made from long ones: training without dark photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
from pydantic import Field, field_validator

from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.errors import UserError
from paddle_restore.options import Options

Range = tuple[float, float]


class NoiseOptions(Options):
    """`data.noise`: the sensor, and ranges that each sample draws from (log-uniform)."""

    camera: Path = Field(description="the sensor, e.g. configs/cameras/sony_a7s2.yml")
    ratio: Range = Field(description="long over short exposure time: a range, or one number")
    iso: Optional[Range] = Field(None, description="a range, or one number; default: what the file says")

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
