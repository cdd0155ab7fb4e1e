"""Noise of a raw file: shot noise and read noise of each colour, in normalised sensor values.

For x = (mosaic - black) / (white - black), neither clipped nor white-balanced, the variance of the noise is
gain * x + variance: a Poisson number of electrons, each worth `gain`, and normal read noise (Foi et al.,
"Practical Poissonian-Gaussian Noise Modeling and Fitting for Single-Image Raw-Data", TIP 2008). A DNG's tag
NoiseProfile names the two S and O.

`estimate_noise` finds them in the frame itself. Like Ponomarenko et al., "An Automatic Approach to Lossy
Compression of AVIRIS Images", IGARSS 2007, it splits blocks into frequencies (DCT) and looks for flat blocks
by middle frequencies, so that the choice does not bias the high ones, in which it measures. A line through
variances over brightness has the gain as its slope and the read noise at black.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from paddle_restore.data.metadata import read_sensor_tags
from paddle_restore.data.mosaic import RawImage
from paddle_restore.errors import UserError

Rgb = tuple[float, float, float]

_NOISE_PROFILE = 51041
_MAX_GAIN, _MAX_VARIANCE = 1.0, 0.25  # of a profile that makes sense
_NEGATIVE = 10.0  # O below 0, in S^2
_MAX_DISAGREEMENT = 3.0  # of a profile's standard deviation with the frame's

_SIDE = 8  # of a block, in packed pixels
_DCT = np.array(
    [
        [
            np.sqrt((1 if k == 0 else 2) / _SIDE) * np.cos(np.pi * (2 * i + 1) * k / (2 * _SIDE))
            for i in range(_SIDE)
        ]
        for k in range(_SIDE)
    ],
    np.float32,
)
_DOWN, _ACROSS = np.mgrid[:_SIDE, :_SIDE]
# Noise of whole rows or columns has a frequency of 0 across or down.
_MIDDLE = (_DOWN > 0) & (_ACROSS > 0) & (_DOWN + _ACROSS < _SIDE)
_HIGH = (_DOWN > 0) & (_ACROSS > 0) & (_DOWN + _ACROSS >= _SIDE)
_AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32) / 8

_SATURATED = 0.98  # of the white level
_MAX_BELOW = 0.02  # share of a block's pixels at the sensor's lowest value
_MIN_BLOCKS = 50
_STEPS = 8  # of choosing blocks and fitting the line
_FLAT = 1.2  # middle frequencies of a flat block, in the noise's variance
_MIN_FLAT, _MOSTLY_FLAT = 0.01, 0.6  # shares of the blocks
_BRIGHTNESSES, _FIRST_SHARE = 24, 0.05  # of the first choice
_ELECTRONS = 2.5  # typical read noise, of which the logarithm spreads by:
_GAIN_SPREAD, _VARIANCE_SPREAD = 2.0, 1.2
_MODEL_ERROR = 0.01  # of the darkest blocks' variance, by texture


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

    def deviation(self, x: float) -> np.ndarray:
        """Return the standard deviation at a sensor value, of R, G and B."""
        return np.sqrt(np.array(self.gain) * max(x, 0.0) + self.variance)


def noise_of(raw: RawImage, camera: Optional[Path] = None) -> SensorNoise:
    """Return a Bayer frame's noise: of a camera's YAML file, of the file's own profile, or estimated.

    A profile that makes no sense, or is far from what the frame shows, is not used, with a warning.
    Raises UserError if the camera's file cannot be read, or the raw file does not name its ISO.
    """
    if camera is not None:
        return camera_noise(camera, raw)
    estimated = estimate_noise(raw)
    try:
        profile = read_noise_profile(raw.path) if raw.path else None
    except ValueError as error:
        warnings.warn(
            f"{raw.path}: its noise profile makes no sense ({error}); the noise is estimated", stacklevel=2
        )
        return estimated
    if profile is None:
        return estimated
    value = float(np.median(raw.signal()[:, ::8, ::8]))
    ratio = profile.deviation(value) / estimated.deviation(value)
    if max(ratio.max(), 1 / ratio.min()) > _MAX_DISAGREEMENT:
        warnings.warn(
            f"{raw.path}: its noise profile says {ratio[1]:.2g} times the noise that the frame has; "
            "the noise is estimated",
            stacklevel=2,
        )
        return estimated
    return profile


def camera_noise(path: Path, raw: RawImage) -> SensorNoise:
    """Return the noise of a camera's YAML file at the raw file's ISO. Raises UserError."""
    from paddle_restore.data.synthetic.noise import load_camera  # of training, which restoring does not need

    camera = load_camera(path)
    if raw.iso <= 0:
        raise UserError(f"{raw.path}: does not name its ISO, which {path} needs; leave the camera's file out")
    noise, white = camera.noise(raw.iso), camera.white_level - camera.black_level
    gain, variance = noise.gain / white, noise.variance(0.0) / white**2
    return SensorNoise((gain,) * 3, (variance,) * 3)


def read_noise_profile(path: Path) -> Optional[SensorNoise]:
    """Return the noise that a DNG's NoiseProfile says, None without one. Raises ValueError for nonsense."""
    tags = read_sensor_tags(path)
    if _NOISE_PROFILE not in tags:
        return None
    try:
        numbers = np.array([float(number) for number in np.atleast_1d(tags[_NOISE_PROFILE])])
    except (TypeError, ValueError):
        raise ValueError("it holds no numbers") from None
    if numbers.size not in (2, 6):
        raise ValueError(f"it holds {numbers.size} numbers, not two for each colour")
    pairs = np.broadcast_to(numbers.reshape(-1, 2), (3, 2))
    gain, variance = pairs.T
    # An O slightly below 0 is common, where the black level is above the mean of black.
    possible = (
        (gain >= 0) & (gain <= _MAX_GAIN) & (variance >= -_NEGATIVE * gain**2) & (variance <= _MAX_VARIANCE)
    )
    if not (possible & ((gain > 0) | (variance > 0))).all():
        raise ValueError(f"S {gain.tolist()}, O {variance.tolist()}")
    gain, variance = gain.tolist(), np.maximum(variance, 0).tolist()
    return SensorNoise((gain[0], gain[1], gain[2]), (variance[0], variance[1], variance[2]))


def estimate_noise(raw: RawImage) -> SensorNoise:
    """Estimate a Bayer frame's noise from the frame alone, one gain and variance for all colours.

    In frames that have no dark parts, the read noise is a typical one. In frames that are dark everywhere,
    the gain is. In frames of one brightness, the noise at this brightness is right. A frame that is clipped
    everywhere, or smaller than a block, gets the noise of rounding.
    """
    rounding = 1 / 12 / (raw.white_level - max(raw.black_level)) ** 2
    blocks = _measure(raw) if min(raw.mosaic.shape) >= 2 * _SIDE else None
    if blocks is None or not blocks.valid.any():
        return SensorNoise((0.0,) * 3, (rounding,) * 3)
    chosen = _first_choice(blocks)
    line = _Line(0.0, max(float(np.median(blocks.high[chosen])), rounding))
    for _ in range(_STEPS):
        line = _fit(blocks, chosen, blocks.high, line, rounding)
    for _ in range(_STEPS):
        middle = np.where(blocks.valid, blocks.middle / line.at(blocks.around), 0).sum(0)
        # The four colours of a place are flat or textured together.
        middle /= np.maximum(blocks.valid.sum(0), 1)
        flat = blocks.valid & (middle < max(_FLAT, np.quantile(middle[blocks.valid.any(0)], _MIN_FLAT)))
        high = _without_texture(blocks, flat, line)
        line = _fit(blocks, flat, high, line, rounding)
    return SensorNoise((line.gain,) * 3, (line.variance,) * 3)


@dataclass(frozen=True)
class _Line:
    """Variance of the noise over the sensor value."""

    gain: float
    variance: float

    def at(self, x: np.ndarray) -> np.ndarray:
        return self.gain * np.maximum(x, 0) + np.float32(self.variance)


@dataclass(frozen=True)
class _Blocks:
    """Blocks of the four packed colours, each (4, rows, columns).

    mean    sensor value
    around  mean of the eight blocks around, whose noise is independent of the block's
    middle  mean square of the middle frequencies: the noise's variance, and texture
    high    mean square of the high frequencies: the noise's variance, and less of the texture
    valid   nothing is clipped
    """

    mean: np.ndarray
    around: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    valid: np.ndarray


def _measure(raw: RawImage) -> _Blocks:
    signal = raw.signal()
    height, width = (size // _SIDE for size in signal.shape[1:])
    # Some cameras saturate below their white level. A frame without saturation loses a few blocks.
    highest = min(_SATURATED, float(signal.max()))
    lowest = -min(raw.black_level) / (raw.white_level - min(raw.black_level))
    parts = []
    for plane in signal:
        blocks = plane[: height * _SIDE, : width * _SIDE].reshape(height, _SIDE, width, _SIDE).swapaxes(1, 2)
        clipped = (blocks >= highest).any((2, 3)) | ((blocks <= lowest).mean((2, 3)) > _MAX_BELOW)
        frequencies = _DCT @ blocks @ _DCT.T
        mean = frequencies[..., 0, 0] / _SIDE
        np.square(frequencies, out=frequencies)
        middle, high = (frequencies[..., band].mean(-1) for band in (_MIDDLE, _HIGH))
        around = cv2.filter2D(mean, -1, _AROUND, borderType=cv2.BORDER_REFLECT)
        # A part without noise is masked or made up.
        parts.append((mean, around, middle, high, ~clipped & (high > 0)))
    mean, around, middle, high, valid = (np.stack(part) for part in zip(*parts))
    return _Blocks(mean, around, middle, high, valid)


def _first_choice(blocks: _Blocks) -> np.ndarray:
    """Return which blocks have the least texture among those of a similar brightness."""
    brightness, middle = blocks.around[blocks.valid], blocks.middle[blocks.valid]
    chosen = np.zeros(brightness.size, bool)
    for group in np.array_split(np.argsort(brightness), min(_BRIGHTNESSES, brightness.size)):
        chosen[group[middle[group] <= np.quantile(middle[group], _FIRST_SHARE)]] = True
    all_chosen = np.zeros(blocks.valid.shape, bool)
    all_chosen[blocks.valid] = chosen
    return all_chosen


def _without_texture(blocks: _Blocks, flat: np.ndarray, line: _Line) -> np.ndarray:
    """Return `blocks.high` less the texture that its middle frequencies tell, where few blocks are flat.

    In strongly textured blocks, high frequencies have a certain share of the middle ones' texture.
    """
    noise = line.at(blocks.around)
    strong = blocks.valid & (blocks.middle > 3 * noise)
    if flat.mean() > _MOSTLY_FLAT or strong.sum() < _MIN_BLOCKS:
        return blocks.high
    shares = (blocks.high[strong] - noise[strong]) / (blocks.middle[strong] - noise[strong])
    share = float(np.clip(np.median(shares), 0, 0.8))
    return (blocks.high - share * blocks.middle) / (1 - share)


def _fit(blocks: _Blocks, chosen: np.ndarray, high: np.ndarray, line: _Line, rounding: float) -> _Line:
    """Return the weighted least squares line through the variances of chosen blocks over their brightness.

    Brightness is noisy too, which would flatten the line. An instrument whose noise is independent, the
    blocks around, avoids that. Where a block's own mean says more, it has a part in the instrument, and what
    its noise adds is subtracted.
    """
    mean, around, variance = blocks.mean[chosen], blocks.around[chosen], high[chosen]
    noise = line.at(around)
    weight = 1 / noise.astype(float) ** 2
    weight_sum = weight.sum()
    noise_of_mean = noise / _SIDE**2
    # Of the difference to the blocks around, an eighth of their noise is theirs.
    difference, chance = (
        float((weight * values).sum()) for values in ((mean - around) ** 2, noise_of_mean * 9 / 8)
    )
    own = max(1 - chance / difference, 0.0) if difference > 0 else 0.0
    instrument = own * mean + (1 - own) * around
    # Poisson noise makes the mean and the variance of a block deviate together.
    skew = own * line.gain**2 * np.maximum(instrument, 0) / _SIDE**2
    x, y, z = ((weight * values).sum() / weight_sum for values in (mean, variance, instrument))
    xx = float((weight * ((instrument - z) * mean - own * noise_of_mean)).sum())
    xy = float((weight * ((instrument - z) * variance - skew)).sum())
    per_block = 2 / _HIGH.sum()  # variance of a block's variance, in noise^2
    # What the frame does not show is typical.
    error = np.sqrt(per_block / xx) if xx > 0 else np.inf
    typical = np.sqrt(max(y, rounding)) / _ELECTRONS
    gain = _most_likely(xy / xx if xx > 0 else 0.0, error, typical, _GAIN_SPREAD)
    if gain * x > y:  # the variance at black would be negative: brightness is the same everywhere
        gain = y / x
    x_share = x * x / xx if xx > 0 else np.inf
    error_at_black = np.sqrt(
        per_block * (1 / weight_sum + x_share) + (_MODEL_ERROR * np.quantile(noise, 0.02)) ** 2
    )
    typical = (_ELECTRONS * gain) ** 2 + rounding
    offset = _most_likely(y - gain * x, error_at_black, typical, _VARIANCE_SPREAD)
    # Through the variance at black, the brighter blocks tell the gain once more.
    total = float((weight * (instrument * mean - own * noise_of_mean)).sum())
    through = float((weight * (instrument * (variance - offset) - skew)).sum())
    if total > 0 and through > 0 and np.sqrt(per_block / total) < through / total / 2:
        gain = through / total
    return _Line(gain, offset)


def _most_likely(measured: float, error: float, typical: float, spread: float) -> float:
    """Return the likeliest number above 0: normal about `measured`, log-normal about `typical`."""
    candidates = typical * np.exp(np.linspace(-8, 12, 2001))
    cost = ((candidates - measured) / error) ** 2 + (np.log(candidates / typical) / spread) ** 2
    return float(candidates[cost.argmin()])
