"""The automatic exposure of frames whose right one is known; docs/exposure.md has the table.

    python benchmarks/exposure.py [--photographs FOLDER] [--ratios 1 10 100 300]

Each photograph, and each scene of the demo data, becomes raw frames of configs/cameras/sony_a7s2.yml that
were exposed 1 to 300 times too dark (ISO 100 at 1, else 1600). The right exposure gives the photograph back.
Rules: `auto` (data/exposure.py), its percentile alone (`P99`), LibRaw's automatic brightness (1 per cent
white), a mean of 0.4 after the tone curve, and Lamba's amplifier. Columns, in stops: mean error, mean size of
the error; then the share of frames within a stop, and the largest share of a frame that the rule makes white.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.exposure import LEVEL, auto_exposure, tone_curve
from paddle_restore.data.files import list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import read_image
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.pixels import to_float
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.data.synthetic.scenes import SCENES, photograph
from paddle_restore.data.synthetic.unprocess import mosaic, radiance

ROOT = Path(__file__).resolve().parent.parent
CAMERA = load_camera(ROOT / "configs/cameras/sony_a7s2.yml")
LARGEST = 1200  # pixels along a side of a photograph


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, metavar="FOLDER")
    parser.add_argument("--ratios", type=float, nargs="+", default=[1, 10, 100, 300])
    args = parser.parse_args()
    groups = {"demo scenes": [(photograph(scene), scene.pattern) for scene in SCENES]}
    if args.photographs:
        files = list_files(args.photographs, is_picture, "pictures")
        groups["photographs"] = [(_read(path), "RGGB") for path in files]
    print("| frames | too dark | rule | mean | size | within a stop | white at most |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, pictures in groups.items():
        for ratio in args.ratios:
            frames = [_expose(*picture, ratio) for picture in pictures]
            for rule, exposure in RULES.items():
                row = _row([exposure(frame) for frame in frames], frames, ratio)
                print(f"| {len(frames)} {name} | x{ratio:g} | {rule} | {row} |", flush=True)


def _read(path: Path) -> np.ndarray:
    picture = to_float(read_image(path))[:LARGEST, :LARGEST]
    return picture[: len(picture) // 2 * 2, : picture.shape[1] // 2 * 2]


def _expose(picture: np.ndarray, pattern: str, ratio: float) -> RawImage:
    light = mosaic(radiance(picture, CAMERA.color_matrix, CAMERA.white_balance), pattern)
    values = CAMERA.expose(light, 100 if ratio == 1 else 1600, np.random.default_rng(0), ratio)
    black, white = float(CAMERA.black_level), float(CAMERA.white_level)
    return RawImage(values, pattern, (black,) * 4, white, (*CAMERA.white_balance, 1.0))


def _light(frame: RawImage) -> np.ndarray:
    rows, columns = (max(side // 16, 8) for side in frame.mosaic.shape)
    return frame.colour_means(rows, columns) * frame.balance[:, None, None]


def _percentile(level: float) -> Callable[[RawImage], float]:
    return lambda frame: level / np.percentile(_light(frame).max(0), 99)


def _mean(frame: RawImage) -> float:
    values, low, high = _light(frame).mean(0), 2.0**-4, 2.0**14
    for _ in range(40):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if tone_curve(middle * values).mean() < 0.4 else (low, middle)
    return float(low)


RULES: dict[str, Callable[[RawImage], float]] = {
    "auto": lambda frame: auto_exposure(frame, limit=2000),
    "P99": _percentile(LEVEL),
    "LibRaw": _percentile(1.0),
    "mean 0.4": _mean,
    "Lamba": lambda frame: estimate_ratio(*frame.histogram()),
}


def _row(exposures: list[float], frames: list[RawImage], ratio: float) -> str:
    stops = np.log2(np.array(exposures) / ratio)
    # What the rule makes white: beyond what a frame of the right exposure has white itself.
    white = [
        (exposure * _light(frame).max(0) >= 1).mean() - (ratio * _light(frame).max(0) >= 1).mean()
        for exposure, frame in zip(exposures, frames)
    ]
    within = 100 * np.mean(np.abs(stops) <= 1)
    return f"{stops.mean():+.2f} | {np.abs(stops).mean():.2f} | {within:.0f} % | {100 * max(white):.1f} %"


if __name__ == "__main__":
    main()
