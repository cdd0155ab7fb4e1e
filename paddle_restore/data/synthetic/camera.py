"""Clean photograph -> the noisy and the clean sRGB picture that a phone or a camera makes of it.

The photograph is unprocessed to a sensor's signal (`unprocess.py` says by whom), exposed, mosaiced,
made noisy (`noise.py`) and developed: demosaicing, white balance, colour matrix, tone curve. Then comes
what cameras and people do to pictures: down-scaling, smoothing of chroma, sharpening, JPEG, rounding to
8 bits. The clean picture is developed by the very same steps from the signal without noise, less JPEG
and rounding, so the two differ by noise alone. All parameters are drawn anew for every patch. A share is
left as the photograph is: developed pictures are softer than those are that were shrunk since.

What real pictures have and white Gaussian noise lacks follows from the steps: demosaicing, scaling and
sharpening correlate neighbours; the colour matrix mixes and multiplies the channels' noise; clipping
at black shifts dark values; the tone curve makes noise fall with brightness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from paddle_restore.data.synthetic.noise import SensorNoise, add_noise

# White and black of the simulated sensor, in DN: 12 bits.
_WHITE = 4095
_CURVE = 4096
"""Entries of a rendering's table of values."""
_MARGIN = 8
"""Pixels around a patch whose neighbourhood demosaicing and filters see; cut off in the end."""

_FAR = 5.0
_POSITIONS = np.linspace(0, _FAR, 501)
_EXCESS = np.array(
    [
        z * 0.5 * (1 + math.erf(z / math.sqrt(2))) + math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        for z in _POSITIONS
    ]
)
"""E max(0, z + N(0, 1)) of the positions z; beyond, z itself."""

_BAYER_CODES = {
    "RGGB": (cv2.COLOR_BayerBG2RGB, cv2.COLOR_BayerBG2RGB_EA),
    "BGGR": (cv2.COLOR_BayerRG2RGB, cv2.COLOR_BayerRG2RGB_EA),
    "GRBG": (cv2.COLOR_BayerGB2RGB, cv2.COLOR_BayerGB2RGB_EA),
    "GBRG": (cv2.COLOR_BayerGR2RGB, cv2.COLOR_BayerGR2RGB_EA),
}
"""OpenCV names a pattern after its second row's second and third pixel."""

# Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of Bayer-patterned color images",
# ICASSP 2004, figure 2: green at red or blue; red at green between reds of its row; red at blue.
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]], np.float32
)
_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
    np.float32,
)
_OPPOSITE = np.array(
    [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
    np.float32,
)


@dataclass(frozen=True)
class Development:
    """How one picture is taken and developed; `draw_development` draws one."""

    pattern: str
    demosaic: str  # bilinear, edges, gradient (Malvar), or none: all colours at each pixel, as after scaling
    exposure: float  # factor on linear values; below 1 darkens the picture
    white_balance: np.ndarray  # multipliers of R, G, B
    matrix: np.ndarray  # (3, 3) white-balanced camera RGB -> linear sRGB, rows sum to 1
    tone: float  # 0 is the plain gamma curve, 1 a full S curve on top of it
    gamma: float
    toe: float  # linear value below which the curve is straight, about
    noise: SensorNoise
    clip_black: bool  # the sensor's values below black are lost before demosaicing
    scale: float  # sensor pixels per pixel of the result, >= 1
    chroma_blur: float  # standard deviation in pixels, 0 is none
    luma_blur: float
    sharpen: float  # amount of unsharp masking, 0 is none
    sharpen_radius: float
    jpeg_quality: int  # 0 is none
    jpeg_subsampling: bool  # chroma at half resolution (4:2:0)
    untouched: bool = False  # both pictures are the photograph itself, shrunk by `scale`


def draw_development(rng: np.random.Generator, clean_share: float = 0.2) -> Development:
    """Draw a camera, its settings and the handling of its picture.

    `clean_share` have almost no noise, and most of these are the untouched photograph.
    """
    chance = rng.random(8)
    shot = np.exp(rng.uniform(np.log(1e-4), np.log(5e-2)))
    # Read noise rises with shot noise from sensor to sensor (Brooks et al. 2019, section 3.1), but
    # spreads wider than their five cameras.
    read = np.exp(2.18 * np.log(shot) + 1.2 + 0.7 * rng.standard_normal())
    if chance[0] < clean_share:
        shot, read = 2e-6, 1e-8
    read_dn = np.sqrt(read) * _WHITE
    row_dn = read_dn * rng.uniform(0, 0.35) if chance[1] < 0.4 else 0.0
    noise = SensorNoise(float(shot * _WHITE), float(read_dn), float(row_dn))
    saturation = rng.uniform(0.15, 1.3)  # how much more colourful the matrix makes the picture
    matrix = np.eye(3)
    for row in range(3):
        strength = saturation * rng.uniform(0.5, 1.4)
        share = rng.uniform(0.0, 1.0) if row == 1 else rng.uniform(0.5, 1.1)
        near, far = ((1, 2), (0, 2), (1, 0))[row]
        matrix[row, row] += strength
        matrix[row, near] -= strength * share
        matrix[row, far] -= strength * (1 - share)
    quality = 0
    if clean_share <= chance[0] and chance[4] < 0.55:
        quality = int(rng.integers(60, 101))
    smoothed = chance[5] < 0.45
    return Development(
        pattern=("RGGB", "BGGR", "GRBG", "GBRG")[rng.integers(4)],
        demosaic=str(rng.choice(["bilinear", "edges", "gradient", "none"], p=[0.15, 0.2, 0.35, 0.3])),
        exposure=float(np.exp(rng.uniform(np.log(0.12), np.log(1.1)))),
        white_balance=np.array([rng.uniform(1.2, 2.6), 1.0, rng.uniform(1.2, 2.8)]),
        matrix=matrix,
        tone=float(rng.uniform(0, 1)) if chance[3] < 0.6 else 0.0,
        gamma=float(rng.uniform(1.9, 2.5)),
        toe=float(np.exp(rng.uniform(np.log(1e-4), np.log(6e-3)))),
        noise=noise,
        clip_black=bool(rng.random() < 0.8),
        scale=float(rng.uniform(1.15, 2.2)) if rng.random() < 0.25 else 1.0,
        chroma_blur=float(rng.uniform(0.6, 3.0)) if smoothed else 0.0,
        luma_blur=float(rng.uniform(0.3, 0.8)) if chance[6] < 0.25 else 0.0,
        sharpen=float(rng.uniform(0.2, 1.2)) if chance[7] < 0.35 else 0.0,
        sharpen_radius=float(rng.uniform(0.6, 1.5)),
        jpeg_quality=quality,
        jpeg_subsampling=bool(rng.random() < 0.6),
        untouched=bool(chance[0] < 0.6 * clean_share),
    )


def source_side(size: int, development: Development) -> int:
    """Return how many pixels of a photograph, along each side, a patch of `size` is made from; even."""
    side = int(np.ceil((size + 2 * _MARGIN) * development.scale))
    return side + side % 2


def take_picture(
    photo: np.ndarray, size: int, development: Development, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the noisy and the clean picture of a photograph's window, (size, size, 3) float32 in [0, 1].

    photo   (side, side, 3) uint8 sRGB, side = `source_side(size, development)`
    The noisy one holds whole 8-bit values.
    """
    d = development
    if d.untouched:
        if d.scale > 1:
            photo = cv2.resize(photo, (size + 2 * _MARGIN,) * 2, interpolation=cv2.INTER_AREA)
        clean = _window(photo, size).astype(np.float32) / 255
        return clean, clean
    radiance = np.minimum(sensor_radiance(photo, d), 1) * np.float32(_WHITE)
    if d.demosaic == "none":
        noisy = expose(radiance.transpose(2, 0, 1), d.noise, rng).transpose(1, 2, 0)
        clean = mean_of_exposures(radiance, d.noise) if d.clip_black else radiance
        pair = [np.clip(noisy, 0 if d.clip_black else None, _WHITE), clean]
    else:
        signal = _mosaic(radiance, d.pattern)
        noisy = np.clip(expose(signal, d.noise, rng), 0 if d.clip_black else -_WHITE, _WHITE)
        clean = mean_of_exposures(signal, d.noise) if d.clip_black else signal
        pair = [_demosaic(values, d) for values in (noisy, clean)]
    # White ends at 1 although a channel's multiplier is above 1: what saturates is clipped white.
    srgb_from_camera, curve = d.matrix * d.white_balance / _WHITE, _tone_curve(d)
    pair = [_render(values, srgb_from_camera, curve) for values in pair]
    pair = [_finish(picture, size, d) for picture in pair]
    noisy = np.rint(pair[0] * 255).astype(np.uint8)
    if d.jpeg_quality:
        noisy = _jpeg(noisy, d)
    return _window(noisy, size).astype(np.float32) / 255, np.ascontiguousarray(_window(pair[1], size))


def sensor_radiance(photo: np.ndarray, d: Development) -> np.ndarray:
    """Return the sensor's linear RGB of a photograph, (H, W, 3) float32 >= 0 where 1 is white; not clipped.

    photo  (H, W, 3) uint8 sRGB
    """
    camera_from_srgb = np.linalg.inv(d.matrix) / d.white_balance[:, None] * d.exposure
    return np.maximum(cv2.transform(_inverse(_tone_curve(d))[photo], camera_from_srgb), 0)


def expose(signal: np.ndarray, noise: SensorNoise, rng: np.random.Generator) -> np.ndarray:
    """`add_noise`, where a pixel has many electrons by a normal distribution: many times as fast."""
    if signal.mean() < 15 * noise.gain:
        return add_noise(signal, noise, rng)
    deviation = np.sqrt(noise.gain * signal + np.float32(noise.read**2))
    dn = signal + deviation * rng.standard_normal(signal.shape, np.float32)
    dn += noise.row * rng.standard_normal((*signal.shape[:-1], 1), np.float32)
    return np.rint(dn, out=dn)


def mean_of_exposures(signal: np.ndarray, noise: SensorNoise) -> np.ndarray:
    """Return the mean of very many exposures whose values below black are lost.

    It lies above the signal where that is dark. A clean reference is the mean of a burst, and a denoiser
    that went below it would change the colours of shadows: E max(0, signal + deviation * N(0, 1)).
    """
    deviation = np.sqrt(noise.gain * signal + np.float32(noise.read**2 + noise.row**2 + 1e-6))
    position = np.minimum(signal / deviation, _FAR)
    return np.maximum(signal, deviation * np.interp(position, _POSITIONS, _EXCESS).astype(np.float32))


def _tone_curve(d: Development) -> np.ndarray:
    """Table from linear to sRGB values, both in [0, 1]."""
    linear = np.linspace(0, 1, _CURVE, dtype=np.float32)
    # Nearly straight at black, as sRGB and BT.709 are; with a small toe a plain power.
    low, high = d.toe ** (1 / d.gamma), (1 + d.toe) ** (1 / d.gamma)
    encoded = ((linear + np.float32(d.toe)) ** np.float32(1 / d.gamma) - low) / (high - low)
    return (1 - d.tone) * encoded + d.tone * encoded * encoded * (3 - 2 * encoded)


def _inverse(curve: np.ndarray) -> np.ndarray:
    """Table from an 8-bit sRGB value to the linear one."""
    values = np.interp(np.arange(256) / 255, curve, np.linspace(0, 1, _CURVE))
    return values.astype(np.float32)


def _mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    values = np.empty(rgb.shape[:2], np.float32)
    for position, letter in enumerate(pattern):
        row, column = divmod(position, 2)
        values[row::2, column::2] = rgb[row::2, column::2, "RGB".index(letter)]
    return values


def _demosaic(values: np.ndarray, d: Development) -> np.ndarray:
    """(H, W) DN, may be negative -> (H, W, 3) DN."""
    if d.demosaic == "gradient":
        return _malvar(values, d)
    # OpenCV takes 16 bits without sign: eight steps a DN keep the clean signal's fractions.
    shifted = np.rint((values + _WHITE) * 8 if not d.clip_black else values * 16).astype(np.uint16)
    rgb = cv2.cvtColor(shifted, _BAYER_CODES[d.pattern][d.demosaic == "edges"]).astype(np.float32)
    return rgb / 16 if d.clip_black else rgb / 8 - _WHITE


def _malvar(values: np.ndarray, d: Development) -> np.ndarray:
    # It takes the colours' gradients for equal, which they are in balanced values.
    balance = _mosaic(np.broadcast_to(d.white_balance.astype(np.float32), (2, 2, 3)), d.pattern)
    values = values * np.tile(balance, [side // 2 for side in values.shape])
    green, row, opposite = (cv2.filter2D(values, -1, kernel / 8) for kernel in (_GREEN, _ROW, _OPPOSITE))
    column = cv2.filter2D(values, -1, _ROW.T / 8)
    rgb = np.empty((*values.shape, 3), np.float32)
    for position, letter in enumerate(d.pattern):
        at = (slice(position // 2, None, 2), slice(position % 2, None, 2))
        cells, own = rgb[at], "RGB".index(letter)
        cells[..., own] = values[at]
        if letter == "G":
            beside = "RGB".index(d.pattern[position ^ 1])  # the other colour of this row
            cells[..., beside], cells[..., 2 - beside] = row[at], column[at]
        else:
            cells[..., 1], cells[..., 2 - own] = green[at], opposite[at]
    return rgb / d.white_balance.astype(np.float32)


def _render(camera: np.ndarray, matrix: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Camera DN -> sRGB in [0, 1] float32."""
    linear = cv2.transform(camera, matrix * (_CURVE - 1))
    return curve[np.clip(linear, 0, _CURVE - 1, out=linear).astype(np.uint16)]


def _finish(picture: np.ndarray, size: int, d: Development) -> np.ndarray:
    """What is done to a developed picture: smoothing, scaling, sharpening; values stay in [0, 1]."""
    if d.chroma_blur:
        ycc = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
        luma = ycc[..., 0].copy()
        ycc = cv2.GaussianBlur(ycc, (0, 0), d.chroma_blur)
        ycc[..., 0] = luma
        picture = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB)
    if d.luma_blur:
        picture = cv2.GaussianBlur(picture, (0, 0), d.luma_blur)
    if d.scale > 1:
        side = size + 2 * _MARGIN
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    if d.sharpen:
        blurred = cv2.GaussianBlur(picture, (0, 0), d.sharpen_radius)
        picture = cv2.addWeighted(picture, 1 + d.sharpen, blurred, -d.sharpen, 0)
    return np.clip(picture, 0, 1, out=picture)


def _jpeg(picture: np.ndarray, d: Development) -> np.ndarray:
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if d.jpeg_subsampling else 0x111111
    options = [cv2.IMWRITE_JPEG_QUALITY, d.jpeg_quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    coded = cv2.imencode(".jpg", picture[..., ::-1], options)[1]
    decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., ::-1]


def _window(picture: np.ndarray, size: int) -> np.ndarray:
    top, left = ((side - size) // 2 for side in picture.shape[:2])
    return picture[top : top + size, left : left + size]
