"""Colours of Lamba's published weights on other cameras; docs/exposure.md has the table.

    python benchmarks/other_cameras.py --weights lamba_official.pth

Demo scenes and a grey chart become raw frames of six cameras under four lights, exposed 50 times too dark
at ISO 1600. The error is the mean difference of red from green and of blue from green, in 1/255, between the
restored picture and the photograph, over a grid of 8x8 means. `as is`: no change of colours. `daylight`: the
file's daylight multipliers against the training camera's. `as shot`: its as-shot multipliers against
`--white` (data.white_balance).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore import Restorer
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.data.synthetic.scenes import SCENES, photograph
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.inference.package import Preprocess
from paddle_restore.models.published import SONY

SENSOR = load_camera(Path(__file__).resolve().parent.parent / "configs/cameras/sony_a7s2.yml")
# XYZ (D65) -> camera, in 1/10000: Adobe's, as LibRaw has them.
CAMERAS = {
    "Sony A7S II": (5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
    "Canon 5D III": (6722, -635, -963, -4287, 12460, 2028, -908, 2162, 5668),
    "Nikon D850": (10405, -3755, -1270, -5461, 13787, 1793, -1040, 2015, 6785),
    "Fujifilm X-T2 (as Bayer)": (11434, -4948, -1210, -3746, 12042, 1903, -666, 1479, 5235),
    "Olympus E-M1": (7687, -1984, -606, -4327, 11928, 2721, -1381, 2339, 6452),
    "Panasonic GH5": (7641, -2336, -605, -3218, 11299, 2187, -485, 1338, 5121),
}
# XYZ of black bodies (2,850 K to 6,500 K) by the CIE 1931 observer.
LIGHTS = {
    2850: (1.0927, 1.0, 0.3535),
    4000: (1.0065, 1.0, 0.6435),
    5000: (0.9794, 1.0, 0.8614),
    6500: (0.9676, 1.0, 1.1199),
}
D65 = (0.950456, 1.0, 1.088754)
PHOTOS = ("astronaut", "coffee", "chelsea")
SIDE, RATIO = 320, 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--white", type=float, nargs=3, default=SONY.white_balance, metavar=("R", "G", "B"))
    args = parser.parse_args()
    restorer = Restorer("lamba", weights=args.weights)
    restorer.preprocess = Preprocess()  # the frames below come balanced
    pictures = [photograph(scene)[:SIDE, :SIDE] for scene in SCENES if scene.photo in PHOTOS] + [_chart()]
    print("| camera | light | as is | daylight | as shot |")
    print("| --- | --- | --- | --- | --- |")
    for name, numbers in CAMERAS.items():
        matrix = np.array(numbers, float) / 1e4
        daylight = _multipliers(matrix, D65)
        for kelvin, light in LIGHTS.items():
            shot = _multipliers(matrix, light)
            ways = None, daylight / SONY.daylight, shot / np.array(args.white)
            errors = [
                np.mean([_error(restorer, picture, matrix, shot, gains) for picture in pictures])
                for gains in ways
            ]
            print(
                f"| {name} | {kelvin} K | " + " | ".join(f"{error:.1f}" for error in errors) + " |",
                flush=True,
            )


def _multipliers(matrix: np.ndarray, white: tuple[float, float, float]) -> np.ndarray:
    camera = matrix.reshape(3, 3) @ white
    return camera[1] / camera


def _chart() -> np.ndarray:
    levels = np.array([[0.15, 0.3, 0.45], [0.6, 0.75, 0.9]], np.float32)
    return np.repeat(levels.repeat(160, 0).repeat(106, 1)[..., None], 3, axis=2)


def _error(
    restorer: Restorer, picture: np.ndarray, matrix: np.ndarray, shot: np.ndarray, gains: Optional[np.ndarray]
) -> float:
    light = mosaic(radiance(picture, matrix, shot), "RGGB")
    values = SENSOR.expose(light, 1600, np.random.default_rng(0), RATIO)
    raw = RawImage(values, "RGGB", (float(SENSOR.black_level),) * 4, float(SENSOR.white_level))
    if gains is not None:
        raw = replace(raw, gains=tuple(gains / gains[1]))
    return float(np.abs(_chroma(restorer(raw, ratio=RATIO)) - _chroma(picture)).mean() * 255)


def _chroma(picture: np.ndarray) -> np.ndarray:
    grid = cv2.resize(picture.astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA)
    return grid[..., [0, 2]] - grid[..., [1]]


if __name__ == "__main__":
    main()
