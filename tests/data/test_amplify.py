"""The ratio estimated from a dark mosaic, against the authors' values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.raw import XTRANS, RawImage
from tests.conftest import GOLDEN
from tests.golden.procedural import procedural_input


def test_the_ratio_is_the_authors():
    cases = json.loads((GOLDEN / "functions.json").read_text())["amplifier"]["cases"]
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


@pytest.mark.parametrize(
    ("value", "training", "demo"),
    [(0.01 / 400, 300, 2400), (0.01 / 200, 300, 1600), (0.01 / 20, 160, 160), (0.02, 4, 8)],
)
def test_the_authors_demo_multiplies_after_the_limits(value, training, demo):
    """A constant frame of `value` has the estimate 0.01 / value; m is 8."""
    mosaic = np.full((8, 8), value, np.float32)
    assert estimate_ratio(mosaic, m=8) == pytest.approx(training, rel=1e-5)
    assert estimate_ratio(mosaic, m=8, limited="estimate") == pytest.approx(demo, rel=1e-5)
    assert estimate_ratio(mosaic * 0, m=8, limited="estimate") == 2400


def test_pixels_give_what_exact_bins_give():
    """The quick pass over float32 pixels against the table of edges, over all bins and beyond 1."""
    mosaic = np.random.default_rng(1).gamma(0.4, 0.2, (3, 101, 700)).astype(np.float32)
    assert (mosaic > 1).any()
    values, counts = np.unique(mosaic, return_counts=True)
    for m in (1, 5, 8):
        exact = estimate_ratio(np.minimum(values, 1), counts, m)
        assert 1 < exact < 300
        assert estimate_ratio(mosaic, m=m) == pytest.approx(exact, rel=1e-5)


def test_bright_pixels_count_nothing():
    dark = np.full((4, 100), 0.01, np.float32)
    lamps = np.concatenate([dark, np.ones_like(dark), 7 * np.ones_like(dark)])
    assert estimate_ratio(lamps) == pytest.approx(estimate_ratio(dark), rel=1e-6)


@pytest.mark.parametrize("pattern", ["RGGB", "GBRG", XTRANS])
@pytest.mark.parametrize("black", [(512.0,) * 4, (500.0, 510.0, 520.0, 530.0)])
def test_a_histogram_counts_every_pixel_with_its_own_black_level(pattern, black):
    mosaic = np.random.default_rng(2).integers(490, 900, (62, 67)).astype(np.uint16)
    raw = RawImage(mosaic, pattern, black, 16383.0)
    values, counts = raw.histogram()
    assert counts.sum() == mosaic.size
    pixels = np.repeat(values, counts.astype(int))
    np.testing.assert_allclose(np.sort(pixels), np.sort(raw.normalised().ravel()), atol=1e-6)
