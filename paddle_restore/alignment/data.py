"""The first two steps of an alignment, which need no network: samples and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from paddle_restore.alignment.golden import GoldenFolder
from paddle_restore.alignment.procedural import procedural_input
from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.image import read_image, to_float
from paddle_restore.data.raw import XTRANS, RawImage
from paddle_restore.data.resize import imresize
from paddle_restore.metrics import evaluate

Values = dict[str, np.ndarray]
"""What one side of a comparison says, by name."""


def _bayer(folder: GoldenFolder) -> tuple[Values, Values]:
    golden = folder.arrays("packing")
    packed = RawImage(golden["bayer_in"], "RGGB", (512,) * 4, 16383).packed()
    return {"packed": packed}, {"packed": golden["bayer_out_hwc"].transpose(2, 0, 1)}


def _xtrans(folder: GoldenFolder) -> tuple[Values, Values]:
    golden = folder.arrays("packing")
    packed = RawImage(golden["xtrans_in"], XTRANS, (1024,) * 4, 16383).packed()
    return {"packed": packed}, {"packed": golden["xtrans_out_hwc"].transpose(2, 0, 1)}


def _amplifier(folder: GoldenFolder) -> tuple[Values, Values]:
    ours, reference = {}, {}
    for case in folder.json("functions.json")["amplifier"]["cases"]:
        dark = case["scale"] * procedural_input(case["tag"], (128, 160)) ** case["power"]
        mosaic = (np.round(dark * 15871) / 15871).astype(np.float32)
        for m in (1, 5, 8):
            ours[f"{case['tag']} m={m}"] = np.array(estimate_ratio(mosaic, m=m))
            reference[f"{case['tag']} m={m}"] = np.array(case[f"amplification_m{m}"])
    return ours, reference


def _imresize(folder: GoldenFolder) -> tuple[Values, Values]:
    picture, golden = procedural_input("imresize/input", (96, 80, 3)), folder.arrays("imresize")
    return {f"output_x{n}": imresize(picture, 1 / n) for n in (2, 4)}, golden


def _pairs(folder: GoldenFolder) -> list[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """A real noisy picture of each set that is there, its clean one and their golden values."""
    first: dict[str, dict[str, Any]] = {}
    for pair in folder.json("functions.json")["metric_pairs"]:
        first.setdefault(pair["set"], pair)
    pairs = []
    for pair in first.values():
        place = folder.path.parent / pair["set"]
        if not place.is_dir():  # golden values may be copied without the pictures, which are not ours
            continue
        folders = ("Noisy", "GT") if (place / "Noisy").is_dir() else ("input", "groundtruth")
        noisy, clean = (read_image(place / side / pair["name"]) for side in folders)
        pairs.append((noisy, clean, pair))
    return pairs


def _pictures(folder: GoldenFolder) -> tuple[Values, Values]:
    """Real pictures as the networks see them: by the squared difference that their PSNR tells."""
    ours, reference = {}, {}
    for noisy, clean, pair in _pairs(folder):
        name = f"{pair['set']}/{pair['name']} mean squared difference"
        ours[name] = np.mean(np.square(to_float(noisy) - to_float(clean)), dtype=np.float64)
        reference[name] = np.array(10 ** (-pair["psnr"] / 10))
    return {name: np.array(value) for name, value in ours.items()}, reference


PREPARATIONS = {
    "bayer": _bayer,
    "xtrans": _xtrans,
    "amplifier": _amplifier,
    "imresize": _imresize,
    "pictures": _pictures,
}
"""(golden folder) -> (our values, the authors'), of what turns files into input."""


def measure(folder: GoldenFolder, protocols: tuple[str, ...]) -> tuple[Values, Values]:
    """Real pairs of pictures by the published protocols."""
    ours, reference = {}, {}
    for noisy, clean, pair in _pairs(folder):
        for protocol, value in evaluate(noisy, clean, protocols).items():
            name = f"{pair['set']}/{pair['name']} {protocol}"
            ours[name], reference[name] = np.array(value), np.array(pair[protocol])
    return ours, reference
