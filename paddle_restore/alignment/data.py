"""The first two steps of an alignment, which need no network: the input's preparation, and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

import numpy as np

from paddle_restore.alignment.golden import GoldenFolder
from paddle_restore.alignment.procedural import procedural_input
from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.image import read_image, to_float
from paddle_restore.data.raw import XTRANS, RawImage
from paddle_restore.data.resize import imresize
from paddle_restore.metrics import evaluate

Values = dict[str, np.ndarray]
"""The values of one side of a comparison, by name."""

Comparison = tuple[Values, Values]
"""Our values and the authors'."""


def _bayer(folder: GoldenFolder) -> Comparison:
    golden = folder.arrays("packing")
    packed = RawImage(golden["bayer_in"], "RGGB", (512,) * 4, 16383).packed()
    return {"packed": packed}, {"packed": golden["bayer_out_hwc"].transpose(2, 0, 1)}


def _xtrans(folder: GoldenFolder) -> Comparison:
    golden = folder.arrays("packing")
    packed = RawImage(golden["xtrans_in"], XTRANS, (1024,) * 4, 16383).packed()
    return {"packed": packed}, {"packed": golden["xtrans_out_hwc"].transpose(2, 0, 1)}


def _amplifier(folder: GoldenFolder) -> Comparison:
    ours, reference = {}, {}
    for case in folder.json("functions.json")["amplifier"]["cases"]:
        dark = case["scale"] * procedural_input(case["tag"], (128, 160), folder.seed) ** case["power"]
        mosaic = (np.round(dark * 15871) / 15871).astype(np.float32)
        for m in (1, 5, 8):
            ours[f"{case['tag']} m={m}"] = np.array(estimate_ratio(mosaic, m=m))
            reference[f"{case['tag']} m={m}"] = np.array(case[f"amplification_m{m}"])
    return ours, reference


def _imresize(folder: GoldenFolder) -> Comparison:
    picture, golden = procedural_input("imresize/input", (96, 80, 3), folder.seed), folder.arrays("imresize")
    return {f"output_x{n}": imresize(picture, 1 / n) for n in (2, 4)}, golden


def _pairs(folder: GoldenFolder) -> list[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Return (noisy picture, clean picture, golden values) of one real pair of each set that is there."""
    first: dict[str, dict[str, Any]] = {}
    for pair in folder.json("functions.json")["metric_pairs"]:
        first.setdefault(pair["set"], pair)
    pairs = []
    for pair in first.values():
        root = folder.path.parent / pair["set"]
        if not root.is_dir():  # golden values may be copied without the pictures, which are not ours
            continue
        folders = ("Noisy", "GT") if (root / "Noisy").is_dir() else ("input", "groundtruth")
        noisy, clean = (read_image(root / side / pair["name"]) for side in folders)
        pairs.append((noisy, clean, pair))
    return pairs


def _pictures(folder: GoldenFolder) -> Comparison:
    """Compare real pictures as networks get them by their mean squared difference, which the PSNR gives."""
    ours, reference = {}, {}
    for noisy, clean, pair in _pairs(folder):
        name = f"{pair['set']}/{pair['name']} mean squared difference"
        ours[name] = np.mean(np.square(to_float(noisy) - to_float(clean)), dtype=np.float64)
        reference[name] = np.array(10 ** (-pair["psnr"] / 10))
    return {name: np.array(value) for name, value in ours.items()}, reference


PREPARATIONS: Mapping[str, Callable[[GoldenFolder], Comparison]] = {
    "bayer": _bayer,
    "xtrans": _xtrans,
    "amplifier": _amplifier,
    "imresize": _imresize,
    "pictures": _pictures,
}
"""What turns files into a network's input, by name."""


def prepare(folder: GoldenFolder, preparation: Optional[str]) -> Comparison:
    """Compare a preparation; empty values for None."""
    return PREPARATIONS[preparation](folder) if preparation else ({}, {})


def measure(folder: GoldenFolder, protocols: tuple[str, ...]) -> Comparison:
    """Compare the protocols' values of real pairs of pictures; empty values for no protocols."""
    if not protocols:
        return {}, {}
    ours, reference = {}, {}
    for noisy, clean, pair in _pairs(folder):
        for protocol, value in evaluate(noisy, clean, protocols).items():
            name = f"{pair['set']}/{pair['name']} {protocol}"
            ours[name], reference[name] = np.array(value), np.array(pair[protocol])
    return ours, reference
