"""The ratio estimated from a dark mosaic, against the authors' values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.raw import RawImage
from tests.golden.procedural import procedural_input


def test_the_ratio_is_the_authors(shared):
    cases = json.loads((shared / "golden/functions.json").read_text())["amplifier"]["cases"]
    for case in cases:
        dark = case["scale"] * procedural_input(case["tag"], (128, 160)) ** case["power"]
        mosaic = (np.round(dark * 15871) / 15871).astype(np.float32)
        for m in (1, 5, 8):
            assert estimate_ratio(mosaic, m=m) == pytest.approx(case[f"amplification_m{m}"], rel=1e-5)


def test_a_histogram_gives_the_same():
    mosaic = np.random.default_rng(0).integers(500, 900, (64, 66)).astype(np.uint16)
    raw = RawImage(mosaic, "RGGB", (512.0,) * 4, 16383.0)
    assert estimate_ratio(*raw.histogram()) == pytest.approx(estimate_ratio(raw.normalised()), rel=1e-6)


def test_a_black_frame_takes_the_largest_ratio():
    assert estimate_ratio(np.zeros((8, 8))) == 300
