"""imresize against MATLAB's values and the definition."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from paddle_restore.data.resize import imresize
from paddle_restore.errors import UserError
from tests.golden.procedural import procedural_input

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.mark.parametrize(("scale", "name"), [(0.25, "output_x4"), (0.5, "output_x2")])
def test_matlabs_values(scale, name):
    picture = procedural_input("imresize/input", (96, 80, 3))
    expected = np.load(GOLDEN / "imresize.npz")[name]
    resized = imresize(picture, scale)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=1e-5, rtol=0)
    np.testing.assert_allclose(imresize(picture.astype(np.float64), scale), expected, atol=1e-5, rtol=0)


def resize_slowly(line, scale):
    """The definition, one sample at a time."""

    def cubic(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0

    stretch, out = min(scale, 1), []
    for index in range(math.ceil(len(line) * scale)):
        centre = (index + 0.5) / scale - 0.5
        reach = math.ceil(2 / stretch) + 1
        near = range(math.floor(centre) - reach, math.floor(centre) + reach + 1)
        weights = [cubic((centre - i) * stretch) for i in near]
        mirror = [i % (2 * len(line)) for i in near]
        values = [line[min(i, 2 * len(line) - 1 - i)] for i in mirror]
        out.append(np.dot(weights, values) / sum(weights))
    return np.array(out)


@pytest.mark.parametrize("scale", [0.25, 0.3, 1.0, 1.5, 2])
@pytest.mark.parametrize("length", [1, 3, 17, 32])
def test_the_definition_at_any_size_and_scale(length, scale):
    line = np.random.default_rng(length).random(length)
    picture = np.tile(line[:, None, None], (1, 5, 2))
    expected = resize_slowly(line, scale)
    for resized in (imresize(picture, scale), imresize(picture.transpose(1, 0, 2), scale).transpose(1, 0, 2)):
        assert resized.shape == (math.ceil(length * scale), math.ceil(5 * scale), 2)
        np.testing.assert_allclose(resized[:, 0, 1], expected, atol=1e-5)


def test_overshoot_is_kept():
    step = np.zeros((64, 64, 3), np.float32)
    step[:, 32:] = 1
    resized = imresize(step, 0.25)
    assert resized.min() < -0.01
    assert resized.max() > 1.01


def test_is_quick():
    picture = np.zeros((512, 512, 3), np.float32)
    imresize(picture, 0.25)  # the weights are kept
    times = []
    for _ in range(5):
        start = time.perf_counter()
        imresize(picture, 0.25)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.02


def test_mistakes_are_one_line():
    for bad in (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8)), np.zeros((0, 8, 3))):
        with pytest.raises(UserError, match="floats"):
            imresize(bad, 0.25)
    with pytest.raises(UserError, match="scale"):
        imresize(np.zeros((8, 8, 3)), 0)
