"""The shipped denoiser beside OpenCV's non-local means and BM3D, in one table.

    python benchmarks/denoisers.py [--model denoise_unet --weights FILE | --model EXPORTED_FOLDER]
        [--sidd FOLDER] [--photographs data/photographs/val] [--cache FILE]

Sets of pairs: SIDD's pairs in FOLDER (Noisy/ and GT/), and patches of held-out photographs with three
levels of noise, each as it comes and as JPEG of quality 80 (`synthetic/camera.py` makes them). Every
method of the past gets, for each set, the setting that gives the highest mean PSNR on the set's own clean
pictures (every third of them); ours has no setting. PSNR in dB and SSIM by the
protocols psnr_uint8 and ssim_rgb_matlab. The last line is what is left of clean photographs.

BM3D needs `pip install bm3d` (its licence is non-commercial) and minutes; --cache keeps the numbers of both
old methods. Without bm3d its column is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Optional

import cv2
import numpy as np
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.cli.main import fail
from paddle_restore.data.files import atomic_path, list_files
from paddle_restore.data.formats import is_picture
from paddle_restore.data.image import read_image, write_image
from paddle_restore.data.matching import match_pairs
from paddle_restore.data.synthetic.camera import Development, source_side, take_picture
from paddle_restore.data.synthetic.noise import SensorNoise
from paddle_restore.errors import UserError
from paddle_restore.inference.restorer import Restorer
from paddle_restore.metrics import evaluate

Pair = tuple[np.ndarray, np.ndarray]
"""Noisy and clean, (H, W, 3) uint8."""

Denoiser = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) uint8 -> the same."""

Measure = Callable[[Denoiser, int], list[float]]
"""A denoiser and n -> its mean scores on every n-th picture of a set, the PSNR first."""

PROTOCOLS = ("psnr_uint8", "ssim_rgb_matlab")
# Variance of shot noise at white and standard deviation of read noise, as fractions of white: about
# ISO 400, 1600 and 6400 of a phone.
LEVELS = {"low": (0.0003, 0.002), "middle": (0.0015, 0.006), "high": (0.007, 0.016)}
JPEG_QUALITY = 80
PATCH = 192

NLM_STRENGTHS = (2, 3, 4, 6, 8, 11, 15, 20, 27, 36)
NLM_COLOURS = (1.0, 2.0)
BM3D_SIGMAS = (3, 5, 8, 12, 17, 24, 32, 45, 60)


# What --pictures shows: photographs that may be copied freely, CC0 and public domain.
PICTURES = (
    ("astronaut", "high", False),
    ("coffee", "middle", True),
    ("seeding_by_Clements_Engelhardt", "middle", False),
)
SHOWN_SETTINGS = {"middle": (15, 1.0, 24), "high": (27, 1.0, 45)}
"""Strength and ratio of NLM, sigma of BM3D: the best of these sets."""


def camera(level: str, jpeg: bool) -> Development:
    """A middling phone: the only thing that changes is the gain."""
    shot, read = LEVELS[level]
    matrix = np.array([[1.65, -0.50, -0.15], [-0.25, 1.55, -0.30], [0.00, -0.60, 1.60]])
    return Development(
        pattern="RGGB",
        demosaic="gradient",
        exposure=0.5,
        white_balance=np.array([1.9, 1.0, 1.7]),
        matrix=matrix,
        tone=0.3,
        gamma=2.2,
        toe=0.002,
        noise=SensorNoise(shot * 4095, read * 4095, 0.0),
        clip_black=True,
        scale=1.0,
        chroma_blur=0.0,
        luma_blur=0.0,
        sharpen=0.3,
        sharpen_radius=1.0,
        jpeg_quality=JPEG_QUALITY if jpeg else 0,
        jpeg_subsampling=True,
    )


def synthetic_pairs(folder: Path, level: str, jpeg: bool) -> list[Pair]:
    """One patch from the middle of each photograph."""
    pairs = []
    for index, path in enumerate(list_files(folder, is_picture, "pictures")):
        development = camera(level, jpeg)
        photo, side = read_image(path), source_side(PATCH, development)
        top, left = ((length - side) // 2 for length in photo.shape[:2])
        window = photo[top : top + side, left : left + side]
        pair = take_picture(window, PATCH, development, np.random.default_rng([23, index]))
        pairs.append(tuple(np.rint(part * 255).astype(np.uint8) for part in pair))
    return pairs


def sets(sidd: Optional[Path], photographs: Path) -> Iterator[tuple[str, list[Pair]]]:
    if sidd:
        yield (
            "SIDD, real pairs",
            [(read_image(pair.noisy), read_image(pair.clean)) for pair in match_pairs(sidd)],
        )
    for level in LEVELS:
        for jpeg in (False, True):
            name = f"photographs, {level} noise" + (f", JPEG {JPEG_QUALITY}" if jpeg else "")
            yield name, synthetic_pairs(photographs, level, jpeg)


def score(pairs: list[Pair], denoise: Denoiser) -> list[float]:
    """Means of PROTOCOLS over the pairs."""
    values = [evaluate(denoise(noisy), clean, PROTOCOLS) for noisy, clean in pairs]
    return [float(np.mean([value[name] for value in values])) for name in PROTOCOLS]


def nlm(picture: np.ndarray, strength: float, ratio: float) -> np.ndarray:
    # The function expects BGR and works in CIELAB, where the order counts.
    denoised = cv2.fastNlMeansDenoisingColored(
        np.ascontiguousarray(picture[..., ::-1]), None, strength, strength * ratio, 7, 21
    )
    return np.ascontiguousarray(denoised[..., ::-1])


def bm3d(picture: np.ndarray, sigma: float) -> np.ndarray:
    import bm3d as package

    denoised = package.bm3d_rgb(picture.astype(np.float64) / 255, sigma / 255)
    return np.rint(np.clip(denoised, 0, 1) * 255).astype(np.uint8)


def climb(count: int, value: Callable[[int], float]) -> int:
    """Return where `value` of 0 ... count - 1, which rises and then falls, is highest."""
    known: dict[int, float] = {}

    def at(index: int) -> float:
        if index not in known:
            known[index] = value(index)
        return known[index]

    best = count // 2
    while True:
        nearby = [index for index in (best - 1, best, best + 1) if 0 <= index < count]
        highest = max(nearby, key=at)
        if highest == best:
            return best
        best = highest


def best_nlm(measure: Measure) -> tuple[list[float], str]:
    """Return what `measure` gives at NLM's best setting, and the setting."""
    found = []
    for ratio in NLM_COLOURS:
        denoisers = [partial(nlm, strength=strength, ratio=ratio) for strength in NLM_STRENGTHS]
        scores, index = best_setting(denoisers, measure)
        strength = NLM_STRENGTHS[index]
        found.append((scores, f"h {strength}, colour {strength * ratio:g}"))
    return max(found)


def best_bm3d(measure: Measure) -> tuple[list[float], str]:
    scores, index = best_setting([partial(bm3d, sigma=sigma) for sigma in BM3D_SIGMAS], measure)
    return scores, f"sigma {BM3D_SIGMAS[index]}"


def best_setting(denoisers: list[Denoiser], measure: Measure) -> tuple[list[float], int]:
    """Return the scores and the number of the denoiser that has the highest PSNR on every third picture."""
    index = climb(len(denoisers), lambda index: measure(denoisers[index], 3)[0])
    return measure(denoisers[index], 1), index


Best = Callable[[Measure], tuple[list[float], str]]
"""Scores at the best setting, and the setting."""


def methods() -> dict[str, Best]:
    found: dict[str, Best] = {"NLM": best_nlm}
    try:
        import bm3d as _  # noqa: F401
    except ImportError:
        return found
    return {**found, "BM3D": best_bm3d}


def clean_line(restorer: Optional[Restorer], folder: Path) -> str:
    """PSNR of the restored clean photographs, whole, against themselves."""
    values = {}
    for path in list_files(folder, is_picture, "pictures"):
        photo = read_image(path)
        restored = np.rint(restorer(photo) * 255).astype(np.uint8)
        values[path.stem] = evaluate(restored, photo, PROTOCOLS[:1])[PROTOCOLS[0]]
    worst = min(values, key=values.get)
    mean = np.mean(list(values.values()))
    return f"clean photographs keep {mean:.2f} dB on average, {values[worst]:.2f} dB at least ({worst})"


def write_pictures(path: Path, restorer: Restorer, folder: Path) -> None:
    """Write crops at 100 %, a row each: noisy, NLM and BM3D of the set's best settings, ours, clean."""
    rows = []
    names = [file.stem for file in list_files(folder, is_picture, "pictures")]
    for name, level, jpeg in PICTURES:
        noisy, clean = synthetic_pairs(folder, level, jpeg)[names.index(name)]
        strength, ratio, sigma = SHOWN_SETTINGS[level]
        old = [nlm(noisy, strength, ratio)] + ([bm3d(noisy, sigma)] if "BM3D" in methods() else [])
        ours = np.rint(restorer(noisy) * 255).astype(np.uint8)
        rows.append([noisy, *old, ours, clean])
    write_rows(path, rows)


def write_rows(path: Path, rows: list[list[np.ndarray]]) -> None:
    """Write rows of crops as one picture, each crop with a white border."""
    border = ((2, 2), (2, 2), (0, 0))
    bordered = [[np.pad(crop, border, constant_values=255) for crop in row] for row in rows]
    write_image(path, np.vstack([np.hstack(row) for row in bordered]))


def make_parser(description: Optional[str], model: str, cache: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=model)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--photographs", type=Path, default=Path("data/photographs/val"))
    parser.add_argument("--cache", type=Path, default=Path(cache))
    parser.add_argument("--pictures", type=Path, help="also write crops of all methods to this file")
    parser.add_argument("--old-only", action="store_true", help="only measure NLM and BM3D, into the cache")
    return parser


def main() -> int:
    parser = make_parser(__doc__, "denoise_unet", "output/denoisers.json")
    parser.add_argument("--sidd", type=Path, help="folder with Noisy/ and GT/")
    arguments = parser.parse_args()
    try:
        restorer = None if arguments.old_only else Restorer(arguments.model, arguments.weights)
        cache = json.loads(arguments.cache.read_text()) if arguments.cache.is_file() else {}
        rows = []
        for name, pairs in sets(arguments.sidd, arguments.photographs):
            row = [name, len(pairs), score(pairs, lambda picture: picture)]
            for method, best in methods().items():
                key = f"{name} {method}"
                if key not in cache:
                    cache[key] = best(lambda denoise, step, pairs=pairs: score(pairs[::step], denoise))
                    with atomic_path(arguments.cache) as path:
                        path.write_text(json.dumps(cache, indent=1))
                row += [*cache[key]]
            if restorer:
                row.append(score(pairs, lambda picture: np.rint(restorer(picture) * 255).astype(np.uint8)))
            rows.append(
                [cell if isinstance(cell, (str, int)) else "{:.2f} {:.3f}".format(*cell) for cell in row]
            )
        old = [heading for method in methods() for heading in (method, "its best setting")]
        print(tabulate(rows, ["set", "pairs", "noisy", *old, *(["ours"] if restorer else [])]))
        if restorer and arguments.pictures:
            write_pictures(arguments.pictures, restorer, arguments.photographs)
        if restorer:
            print(clean_line(restorer, arguments.photographs))
    except UserError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
