"""The raw denoiser beside BM3D and OpenCV's non-local means, in one table.

    python benchmarks/raw_denoisers.py [--model denoise_raw --weights FILE | --model EXPORTED_FOLDER]
        [--photographs data/photographs/val] [--cache FILE] [--pictures FILE]

The raw frames are made from held-out photographs by cameras that no training saw: `SETS` says how many
electrons, how much noise, which levels and pattern, which ISO, and how many times too dark (x). All
methods but NLM work on stabilised planes of known noise (`data/stabilise.py`) and share the exact unbiased
inverse. BM3D gets each plane and standard deviation 1. NLM gets LibRaw's development of the noisy frame,
with the setting that is best for the set.

Numbers are PSNR in dB, mosaic / developed. Of the mosaic: sensor values times the ratio, clipped at white.
Developed: LibRaw's 8-bit sRGB. The last columns are the gain over BM3D: mean, and worst scene. The last
line is what is left of a frame of ISO 100.

BM3D needs `pip install bm3d` (its licence is non-commercial) and minutes; --cache keeps the numbers of both
old methods.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
import rawpy
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from denoisers import best_nlm, make_parser, methods, nlm, write_rows

from paddle_restore.cli.main import fail
from paddle_restore.data.files import atomic_path, list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import read_image, to_float
from paddle_restore.data.mosaic import RawImage, unpacked
from paddle_restore.data.stabilise import stabilise, unstabilise
from paddle_restore.data.synthetic.dng import dng_bytes
from paddle_restore.data.synthetic.noise import Camera, Floor
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import Network, open_network
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.metrics import evaluate
from paddle_restore.models import create_model
from paddle_restore.shipped import shipped_folder
from paddle_restore.weights import load_into, read_weights

PATCH = 128
"""Side of a scene in packed pixels."""

ENLARGED = 1.3
"""Sensor pixels per pixel of a photograph, at least: no lens is as sharp as a photograph that was shrunk."""

BLUR = 0.5
"""Standard deviation of the lens's blur in sensor pixels."""

BLACK, WHITE = 4096, 65535
"""Levels of the frames that are developed."""

# XYZ (D65) -> camera RGB of two sensors that differ in their colours.
_MATRICES = (
    (0.7034, -0.0804, -0.1014, -0.4420, 1.2564, 0.2058, -0.0851, 0.1994, 0.5758),
    (0.8380, -0.2630, -0.0639, -0.2887, 1.0725, 0.2496, -0.0627, 0.1427, 0.5438),
)


def _camera(
    name: str,
    levels: tuple[int, int],
    electrons: float,
    read: tuple[float, float],
    row: tuple[float, float],
    balance: tuple[float, float, float],
    matrix: int,
) -> Camera:
    """A camera with so many electrons at white and ISO 100; noise is in electrons and in DN."""
    return Camera(
        name=name,
        black_level=levels[0],
        white_level=levels[1],
        white_balance=balance,
        color_matrix=_MATRICES[matrix],
        gain_iso100=(levels[1] - levels[0]) / electrons,
        read_noise=Floor(electrons=read[0], dn=read[1]),
        row_noise=Floor(electrons=row[0], dn=row[1]),
    )


FULL_FRAME = _camera("full frame", (600, 15360), 51000, (2.9, 1.6), (0.2, 0.1), (2.05, 1.0, 1.48), 0)
APS_C = _camera("APS-C", (2048, 16300), 30000, (2.2, 1.1), (0.0, 0.0), (1.86, 1.0, 1.72), 1)
FOUR_THIRDS = _camera("four thirds", (256, 4095), 24000, (3.3, 0.7), (0.3, 0.0), (1.95, 1.0, 1.90), 0)
PHONE = _camera("phone", (64, 1023), 4500, (1.5, 0.4), (0.2, 0.1), (2.30, 1.0, 1.62), 1)
OLD_CCD = _camera("old CCD", (128, 4095), 9000, (9.0, 1.0), (1.0, 0.2), (1.70, 1.0, 1.55), 0)


@dataclass(frozen=True)
class Set:
    camera: Camera
    pattern: str
    iso: int
    ratio: int

    def __str__(self) -> str:
        return f"{self.camera.name}, ISO {self.iso}, x{self.ratio}"

    @property
    def noise(self) -> tuple[float, float]:
        """Gain and variance in fractions of white."""
        noise, span = self.camera.noise(self.iso), self.camera.white_level - self.camera.black_level
        return noise.gain / span, noise.variance(0.0) / span**2


SETS = (
    Set(FULL_FRAME, "RGGB", 400, 1),
    Set(FULL_FRAME, "RGGB", 6400, 1),
    Set(FULL_FRAME, "RGGB", 25600, 1),
    Set(FULL_FRAME, "RGGB", 3200, 300),
    Set(APS_C, "GBRG", 1600, 10),
    Set(APS_C, "GBRG", 800, 100),
    Set(FOUR_THIRDS, "GRBG", 3200, 30),
    Set(PHONE, "BGGR", 400, 1),
    Set(PHONE, "BGGR", 3200, 4),
    Set(OLD_CCD, "RGGB", 800, 1),
)
CLEAN = Set(FULL_FRAME, "RGGB", 100, 1)

# What --pictures shows: photographs that may be copied freely, CC0 and public domain.
SHOWN_NLM = (27, 1.0)
"""Strength and ratio of NLM in the pictures: the best of these sets, about."""

PICTURES = (("astronaut", SETS[2]), ("coffee", SETS[5]), ("seeding_by_Clements_Engelhardt", SETS[8]))

Denoiser = Callable[[np.ndarray], np.ndarray]
"""Stabilised planes (4, h, w) -> the same, less their noise."""

Score = tuple[float, float]
"""PSNR of the mosaic and of the developed picture."""


@dataclass(frozen=True)
class Scene:
    """Noisy and clean planes of one frame, (4, PATCH, PATCH) in fractions of white, black 0, RGGB."""

    set: Set
    noisy: np.ndarray
    clean: np.ndarray

    def denoised(self, denoise: Denoiser) -> np.ndarray:
        gain, variance = self.set.noise
        planes = unstabilise(denoise(stabilise(self.noisy, gain, variance)), gain, variance)
        return np.where(self.noisy >= 1, self.noisy, planes)  # what is clipped says nothing of the noise

    def developed(self, planes: np.ndarray) -> np.ndarray:
        """Return LibRaw's development of planes, (2 PATCH, 2 PATCH, 3) uint8, brighter by the ratio."""
        camera = self.set.camera
        levels = unpacked(planes).mosaic * (self.set.ratio * (WHITE - BLACK)) + BLACK
        content = dng_bytes(
            np.rint(np.clip(levels, 0, WHITE)).astype(np.uint16),
            black_level=BLACK,
            white_level=WHITE,
            white_balance=camera.white_balance,
            color_matrix=camera.color_matrix,
        )
        with rawpy.imread(io.BytesIO(content)) as raw:
            return raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=8, user_flip=0)

    def score(self, planes: np.ndarray) -> Score:
        bright, target = (np.minimum(values * self.set.ratio, 1) for values in (planes, self.clean))
        of_mosaic = -10 * np.log10(np.square(bright - target, dtype=np.float64).mean())
        return float(of_mosaic), self.score_developed(self.developed(planes))

    def score_developed(self, picture: np.ndarray) -> float:
        return evaluate(picture, self._reference, ("psnr_uint8",))["psnr_uint8"]

    @cached_property
    def _reference(self) -> np.ndarray:
        return self.developed(self.clean)


def scenes(set: Set, folder: Path) -> Iterator[Scene]:
    """Take one frame of the middle of each photograph."""
    for number, path in enumerate(list_files(folder, is_picture, "pictures")):
        rng = np.random.default_rng([29, number])
        photo, side = to_float(read_image(path)), 2 * PATCH + 2
        scale = max(ENLARGED, side / min(photo.shape[:2]))
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        photo = np.clip(photo[top : top + side, left : left + side], 0, 1)
        light = radiance(photo, set.camera.color_matrix, set.camera.white_balance)
        light = mosaic(cv2.GaussianBlur(light, (0, 0), BLUR), set.pattern)
        values = set.camera.expose(light, set.iso, rng, set.ratio)
        black, white = float(set.camera.black_level), float(set.camera.white_level)
        noisy = _planes(values.astype(np.float32), set.pattern, (black, white))
        clean = _planes(np.minimum(light / set.ratio, 1), set.pattern, (0.0, 1.0))
        yield Scene(set, noisy, clean)


def _planes(values: np.ndarray, pattern: str, levels: tuple[float, float]) -> np.ndarray:
    """Return the packed planes of a mosaic, (4, PATCH, PATCH), not clipped."""
    black, white = levels
    values = RawImage(values, pattern, (black,) * 4, white).aligned().mosaic[: 2 * PATCH, : 2 * PATCH]
    planes = np.stack([values[row::2, column::2] for row, column in ((0, 0), (0, 1), (1, 1), (1, 0))])
    return ((planes - black) / (white - black)).astype(np.float32)


def bm3d_planes(planes: np.ndarray) -> np.ndarray:
    """BM3D of each plane, brought to [0, 1], which its block matching expects."""
    import bm3d

    low, span = planes.min(), np.ptp(planes)
    return np.stack([bm3d.bm3d((plane - low) / span, 1 / span) * span + low for plane in planes]).astype(
        np.float32
    )


def developed_nlm(frames: list[Scene]) -> tuple[float, str]:
    """Return the mean developed PSNR at the best setting, and the setting."""
    noisy = [frame.developed(frame.noisy) for frame in frames]

    def measure(denoise: Callable[[np.ndarray], np.ndarray], step: int) -> list[float]:
        pairs = list(zip(frames, noisy))[::step]
        return [float(np.mean([frame.score_developed(denoise(picture)) for frame, picture in pairs]))]

    (score,), setting = best_nlm(measure)
    return score, setting


def open_denoiser(model: str, weights: Optional[Path]) -> Denoiser:
    network: Network
    if weights:
        built = create_model(model)
        load_into(built, read_weights(weights), source=weights)
        built.eval()
        network = EagerNetwork(built)
    else:
        network = open_network(Path(model) if Path(model).is_dir() else shipped_folder(model))
    return lambda planes: network(planes[None])[0]


def write_pictures(path: Path, denoise: Denoiser, folder: Path) -> None:
    """Write developed crops at 100 %, a row each: noisy, NLM, BM3D, ours, clean."""
    rows = []
    names = [file.stem for file in list_files(folder, is_picture, "pictures")]
    for name, set in PICTURES:
        frame = list(scenes(set, folder))[names.index(name)]
        noisy = frame.developed(frame.noisy)
        planes = [frame.denoised(bm3d_planes), frame.denoised(denoise), frame.clean]
        rows.append([noisy, nlm(noisy, *SHOWN_NLM), *map(frame.developed, planes)])
    write_rows(path, rows)


def _cell(values: list[Score]) -> str:
    return "{:.2f} / {:.2f}".format(*np.mean(values, axis=0))


def main() -> int:
    arguments = make_parser(__doc__, "denoise_raw", "output/raw_denoisers.json").parse_args()
    try:
        ours = None if arguments.old_only else open_denoiser(arguments.model, arguments.weights)
        cache = json.loads(arguments.cache.read_text()) if arguments.cache.is_file() else {}
        rows, gains = [], []
        for set in SETS:
            frames = list(scenes(set, arguments.photographs))
            row = [str(set), _cell([frame.score(frame.noisy) for frame in frames])]
            found = cache.setdefault(str(set), {})
            if "NLM" not in found:
                found["NLM"] = developed_nlm(frames)
            if "BM3D" not in found and "BM3D" in methods():
                found["BM3D"] = [frame.score(frame.denoised(bm3d_planes)) for frame in frames]
            with atomic_path(arguments.cache) as path:
                path.write_text(json.dumps(cache, indent=1))
            row += ["{:.2f}".format(found["NLM"][0]), found["NLM"][1]]
            row += [_cell(found["BM3D"])] if "BM3D" in found else ["not measured"]
            if ours:
                scores = [frame.score(frame.denoised(ours)) for frame in frames]
                row.append(_cell(scores))
                if "BM3D" in found:
                    gain = np.subtract(scores, found["BM3D"])
                    gains.append(gain)
                    row += [
                        "{:+.2f} / {:+.2f}".format(*gain.mean(0)),
                        "{:+.2f} / {:+.2f}".format(*gain.min(0)),
                    ]
            rows.append(row)
        headings = ["set", "noisy", "NLM", "its best setting", "BM3D", "ours", "gain on BM3D", "worst scene"]
        print(tabulate(rows, headings))
        if gains:
            mean, worst = np.mean(gains, axis=(0, 1)), np.min(gains, axis=(0, 1))
            print("gain on BM3D, mosaic / developed: {:+.2f} / {:+.2f} on average,".format(*mean), end=" ")
            print("{:+.2f} / {:+.2f} for the worst scene".format(*worst))
        if ours:
            kept = [f.score(f.denoised(ours))[0] for f in scenes(CLEAN, arguments.photographs)]
            print(f"{CLEAN}: {np.mean(kept):.2f} dB of the mosaic on average, {min(kept):.2f} dB at least")
            if arguments.pictures:
                write_pictures(arguments.pictures, ours, arguments.photographs)
    except UserError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
