"""How well gain and read noise are estimated from single raw frames.

    python benchmarks/sensor_noise.py --photographs data/photographs [--frames 200] [--seed 0] [--denoise]

A frame is a photograph of at least 512 pixels, softened as by a lens, behind the colour filters of one of
five sensors, with the noise of an ISO from 100 to 25600. 7 of 10 are also up to 300 times too dark.
Photographs come from `tools/fetch_photographs.py`. No network is trained on such frames.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from paddle_restore.data.image import read_image
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.sensor_noise import SensorNoise, estimate_noise
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.inference.restored import RestoredRaw
from paddle_restore.inference.restorer import Restorer

MATRIX = (0.5838, -0.1430, -0.0246, -0.3497, 1.1477, 0.2297, -0.0748, 0.1885, 0.5778)  # XYZ -> camera
TOLERANCE = 0.1


@dataclass(frozen=True)
class Sensor:
    """Electrons at saturation at ISO 100; read noise in electrons, and in DN after the amplifier; levels."""

    electrons: float
    read: float
    read_dn: float
    black: int
    white: int
    pattern: str


SENSORS = (
    Sensor(150_000, 2.4, 1.2, 512, 16383, "RGGB"),
    Sensor(35_000, 2.8, 1.0, 600, 16383, "GBRG"),
    Sensor(20_000, 1.8, 0.8, 255, 4095, "GRBG"),
    Sensor(8_000, 1.6, 0.6, 64, 1023, "BGGR"),
    Sensor(50_000, 8.0, 6.0, 1024, 15000, "RGGB"),
)


def scene(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 sRGB -> the camera's linear colours, 1 is saturation."""
    height, width = (side // 2 * 2 for side in photo.shape[:2])
    balance = (rng.uniform(1.4, 2.5), 1.0, rng.uniform(1.3, 2.4))
    light = radiance(photo[:height, :width].astype(np.float32) / 255, MATRIX, balance)
    return cv2.GaussianBlur(light, (0, 0), 1.0) * np.float32(rng.uniform(0.6, 1.2))


def expose(
    light: np.ndarray, sensor: Sensor, iso: float, ratio: float, rng: np.random.Generator
) -> tuple[RawImage, float, float]:
    """Return a noisy frame, and the true gain and variance of its noise."""
    levels = sensor.white - sensor.black
    gain = levels / sensor.electrons * iso / 100
    read = np.hypot(sensor.read * gain, sensor.read_dn)
    signal = mosaic(light, sensor.pattern) * (levels / ratio)
    dn = rng.poisson(signal / gain) * gain + read * rng.standard_normal(signal.shape) + sensor.black
    values = np.clip(np.rint(dn), 0, sensor.white).astype(np.uint16)
    black = float(sensor.black)
    raw = RawImage(values, sensor.pattern, (black, black, black, black), float(sensor.white))
    return raw, gain / levels, (read**2 + 1 / 12) / levels**2


def loss_by_estimate(raw: RawImage, clean: np.ndarray, ratio: float, noise: SensorNoise) -> float:
    """Return by how many dB `denoise_raw` is worse on the mosaic with the estimate than with the known noise.

    clean  (H, W), 1 is white; both are amplified by `ratio` and clipped before they are compared
    """
    restorer = Restorer("denoise_raw")
    source = restorer.read(raw, 1.0)
    errors = []
    for one in (source, replace(source, noise=noise)):
        restored = restorer.run([one])[0]
        assert isinstance(restored, RestoredRaw)
        difference = np.clip(restored.raw.mosaic * ratio, 0, 1) - np.clip(clean * ratio, 0, 1)
        errors.append(np.mean(difference**2))
    return 10 * float(np.log10(errors[0] / errors[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder with train/ and val/")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--denoise", action="store_true", help="also compare denoising by both")
    args = parser.parse_args()
    photos = [read_image(path) for path in sorted(args.photographs.glob("*/*.*"))]
    photos = [photo for photo in photos if min(photo.shape[:2]) >= 512]
    errors, deviations, losses = [], [], []
    for index in range(args.frames):
        rng = np.random.default_rng([args.seed, index])
        light = scene(photos[rng.integers(len(photos))], rng)
        iso, sensor = 100 * 2 ** rng.uniform(0, 8), SENSORS[rng.integers(len(SENSORS))]
        ratio = 300 ** rng.uniform(0, 1) if rng.random() < 0.7 else 1.0
        raw, gain, variance = expose(light, sensor, iso, ratio, rng)
        found = estimate_noise(raw)
        errors.append((found.gain[1] / gain - 1, np.sqrt(found.variance[1] / variance) - 1))
        x = np.maximum(raw.signal()[:, ::8, ::8], 0)
        deviation = np.sqrt((found.gain[1] * x + found.variance[1]) / (gain * x + variance))
        deviations.append(float(np.abs(deviation - 1).mean()))
        if args.denoise:
            clean = mosaic(light, sensor.pattern) / ratio
            losses.append(loss_by_estimate(raw, clean, ratio, SensorNoise((gain,) * 3, (variance,) * 3)))
    error = np.abs(errors)
    within = (error < TOLERANCE).mean(axis=0)
    print(f"{args.frames} frames of {len(photos)} photographs, seed {args.seed}")
    for name, share, middle in zip(("gain", "read noise"), within, np.median(error, axis=0)):
        print(f"{name}: {share:.1%} within {TOLERANCE:.0%}, median error {middle:.1%}")
    deviations_within = (np.array(deviations) < TOLERANCE).mean()
    print(f"standard deviation of the pixels, mean error: {deviations_within:.1%} within {TOLERANCE:.0%}")
    if losses:
        mean, largest = np.mean(losses), max(losses)
        print(f"denoised with the estimate: {mean:.3f} dB worse on average, {largest:.3f} at most")


if __name__ == "__main__":
    main()
