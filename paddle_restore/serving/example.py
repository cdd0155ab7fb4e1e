"""The page's examples: a drawn street at dusk, as a noisy picture and as a dark raw file."""

from __future__ import annotations

import cv2
import numpy as np

from paddle_restore.data.synthetic.dng import dng_bytes
from paddle_restore.data.synthetic.noise import Camera
from paddle_restore.data.synthetic.unprocess import mosaic, radiance

_HEIGHT, _WIDTH = 512, 768
_RATIO = 50
# As configs/cameras/sony_a7s2.yml: SID's networks know this sensor's colours.
_CAMERA = Camera(
    name="example",
    black_level=512,
    white_level=16383,
    white_balance=(2.2, 1.0, 1.6),
    color_matrix=(0.5838, -0.1430, -0.0246, -0.3497, 1.1477, 0.2297, -0.0748, 0.1885, 0.5778),
    gain_iso100=0.105,
    read_noise={"electrons": 2.4, "dn": 1.2},
    row_noise={"electrons": 0.3, "dn": 0.15},
)


def noisy_picture() -> bytes:
    """A PNG of 768x512 pixels with noise that grows with the light, as a small sensor's does."""
    scene = drawn_scene()
    rng = np.random.default_rng(1)
    noisy = scene + rng.normal(0, 1, scene.shape) * np.sqrt(0.003 + 0.012 * scene)
    picture = np.rint(255 * np.clip(noisy, 0, 1)).astype(np.uint8)
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def dark_raw() -> bytes:
    """A DNG of 768x512 pixels, underexposed 50 times."""
    light = radiance(drawn_scene(), _CAMERA.color_matrix, _CAMERA.white_balance)
    values = _CAMERA.expose(mosaic(light, "RGGB"), 1600, np.random.default_rng(2), _RATIO)
    return dng_bytes(
        values,
        black_level=_CAMERA.black_level,
        white_level=_CAMERA.white_level,
        white_balance=_CAMERA.white_balance,
        color_matrix=_CAMERA.color_matrix,
        exposure_time=0.02,
        iso=1600,
        model="example",
        compression="lossless jpeg",
    )


def drawn_scene() -> np.ndarray:
    """(512, 768, 3) float32 sRGB in [0, 1]: sky, houses with lit windows, a wet street with lamps."""
    rng = np.random.default_rng(0)
    rows = np.linspace(0, 1, _HEIGHT, dtype=np.float32)[:, None, None]
    top, bottom = np.array([0.10, 0.16, 0.38], np.float32), np.array([0.85, 0.52, 0.38], np.float32)
    canvas = np.repeat(top + (bottom - top) * np.minimum(rows * 1.5, 1), _WIDTH, axis=1)
    cv2.circle(canvas, (610, 92), 34, (0.96, 0.93, 0.80), -1, cv2.LINE_AA)
    left = 0
    while left < _WIDTH:
        width, roof = int(rng.integers(70, 130)), int(rng.integers(130, 250))
        wall = (rng.uniform(0.20, 0.45, 3) * (1.1, 0.95, 0.9)).tolist()
        _draw_house(canvas, rng, left, width, roof, wall)
        left += width
    street = canvas[400:]
    street[:] = cv2.GaussianBlur(canvas[288:400][::-1], (1, 31), 0) * 0.55 + 0.06
    for x in range(60, _WIDTH, 160):
        cv2.line(canvas, (x, 408), (x, 262), (0.08, 0.08, 0.10), 4, cv2.LINE_AA)
        cv2.circle(canvas, (x, 258), 9, (1.0, 0.92, 0.66), -1, cv2.LINE_AA)
    sign = np.zeros((_HEIGHT, _WIDTH), np.uint8)  # OpenCV 5 writes into bytes only
    cv2.putText(sign, "CAFE", (330, 380), cv2.FONT_HERSHEY_DUPLEX, 1.0, 255, 2, cv2.LINE_AA)
    canvas += (np.array([0.95, 0.30, 0.25], np.float32) - canvas) * (sign[..., None] / np.float32(255))
    for x in 640 + np.cumsum(range(11, 2, -1)):  # lines at decreasing distances, to show the resolution
        cv2.line(canvas, (int(x), 440), (int(x), 495), (0.9, 0.9, 0.9), 1, cv2.LINE_AA)
    return np.clip(canvas, 0, 1)


def _draw_house(canvas: np.ndarray, rng: np.random.Generator, left: int, width: int, roof: int, wall: list):
    cv2.rectangle(canvas, (left, roof), (left + width, 400), wall, -1)
    peak = np.array([(left - 4, roof), (left + width // 2, roof - 44), (left + width + 4, roof)], np.int32)
    cv2.fillPoly(canvas, [peak], [0.6 * value for value in wall], cv2.LINE_AA)
    for y in range(roof + 18, 385, 44):
        for x in range(left + 12, left + width - 24, 30):
            lit = rng.random() < 0.45
            glass = (0.98, 0.84, 0.48) if lit else (0.12, 0.14, 0.20)
            cv2.rectangle(canvas, (x, y), (x + 17, y + 25), glass, -1)
            cv2.line(canvas, (x + 8, y), (x + 8, y + 25), wall, 1)
