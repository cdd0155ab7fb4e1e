"""Colourfulness and CIEDE2000 against values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paddle_restore.metrics.colour import colourfulness, delta_e2000


def test_colourfulness_equals_a_calculation_by_hand():
    grey = np.repeat(np.random.default_rng(0).random((8, 8, 1)), 3, axis=2)
    assert colourfulness(grey) == pytest.approx(0, abs=1e-9)
    halves = np.zeros((2, 4, 3), np.uint8)
    halves[0] = (255, 0, 0)  # rg 255, yb 127.5
    halves[1] = (0, 0, 255)  # rg 0, yb -255
    deviation = math.hypot(127.5, 191.25)
    assert colourfulness(halves) == pytest.approx(deviation + 0.3 * math.hypot(127.5, 63.75))
    assert colourfulness(halves / 255) == pytest.approx(colourfulness(halves))


def test_delta_e2000_is_ciede2000():
    pytest.importorskip("skimage")
    a = np.zeros((300, 2, 3))
    assert delta_e2000(a, a) == 0
    # Black and white differ by 100 in lightness, which CIEDE2000 takes as it is.
    assert delta_e2000(a, np.ones_like(a)) == pytest.approx(100, abs=0.01)
    half = np.concatenate([a[:150], np.ones_like(a[150:])])
    assert delta_e2000(a, half) == pytest.approx(50, abs=0.01)
