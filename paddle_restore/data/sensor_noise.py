"""Noise of a raw file: shot noise and read noise of each colour, in normalised sensor values.

For x = (mosaic - black) / (white - black), neither clipped nor white-balanced, the variance of the noise is
gain * x + variance: a Poisson number of electrons, each worth `gain`, and normal read noise (Foi et al.,
"Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image Raw-Data", TIP 2008). A DNG's tag
NoiseProfile names the two S and O.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class SensorNoise:
    """Noise of variance gain * x + variance for red, green and blue sensor values x.

    Raises ValueError unless both are finite, not negative and not both 0.
    """

    gain: Rgb
    variance: Rgb

    def __post_init__(self) -> None:
        values = np.array([self.gain, self.variance], float)
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum(axis=0).all()):
            raise ValueError(
                f"noise needs gains and variances of 0 or more, not {self.gain} and {self.variance}"
            )

    @property
    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and variance of the packed channels R, G, B, G: (4, 1, 1) each, for `stabilise`."""
        gain, variance = (np.array(values)[[0, 1, 2, 1], None, None] for values in (self.gain, self.variance))
        return gain, variance
