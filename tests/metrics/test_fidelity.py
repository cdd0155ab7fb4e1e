"""PSNR and SSIM against the values that the published evaluations give."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
from scipy.ndimage import correlate

from paddle_restore.metrics import PROTOCOLS, evaluate, psnr, ssim
from tests.conftest import GOLDEN
from tests.metrics.pictures import picture


def test_real_pairs_give_the_published_values(shared):
    pairs = json.loads((GOLDEN / "functions.json").read_text())["metric_pairs"]
    names = {"Noisy": "GT", "input": "groundtruth"}
    assert pairs
    for pair in pairs:
        folder = shared / pair["set"]
        noisy, clean = next((folder / n, folder / c) for n, c in names.items() if (folder / n).is_dir())
        a, b = (
            cv2.cvtColor(cv2.imread(str(side / pair["name"])), cv2.COLOR_BGR2RGB) for side in (noisy, clean)
        )
        for protocol in ("psnr", "ssim_y_matlab", "ssim_rgb_matlab", "ssim_skimage_uint8"):
            tolerance = 1e-6 if protocol == "psnr" else 1e-4
            assert evaluate(a, b, [protocol])[protocol] == pytest.approx(pair[protocol], abs=tolerance)
            as_float = evaluate(a / 255, np.float32(b / 255), [protocol])[protocol]
            assert as_float == pytest.approx(pair[protocol], abs=tolerance)


def test_volume_ssim_is_matlabs_on_a_direct_convolution():
    a, b = picture(0, (17, 23, 3)), picture(1, (17, 23, 3))
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = taps[:, None, None] * taps[None, :, None] * taps[None, None, :]
    window /= window.sum()

    def blur(x):
        return correlate(x, window, mode="nearest")  # MATLAB's 'replicate'

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    values /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(a, b, "ssim_volume_matlab") == pytest.approx(values.mean(), abs=1e-9)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name.startswith("ssim")])
@pytest.mark.parametrize("height", [11, 63, 64, 74, 75, 140])
def test_the_number_of_bands_does_not_change_the_value(monkeypatch, protocol, height):
    a, b = picture(2, (height, 20, 3)), picture(3, (height, 20, 3))
    banded = ssim(a, b, protocol)
    monkeypatch.setattr("paddle_restore.metrics.fidelity._BAND", 10_000)
    assert banded == pytest.approx(ssim(a, b, protocol), abs=1e-12)


def test_rounding_is_half_up_and_clips():
    b = np.zeros((8, 8, 3))
    assert psnr(b + 0.4 / 255, b, "psnr_uint8") == math.inf
    assert psnr(b + 0.5 / 255 + 1e-9, b, "psnr_uint8") == pytest.approx(20 * math.log10(255))
    assert psnr(b - 1, b, "psnr_uint8") == math.inf
    assert psnr(b - 1, b) == 0


def test_the_range_follows_from_the_dtype_and_not_from_the_values():
    dark = np.ones((16, 16, 3), np.uint8)
    assert psnr(dark, np.zeros_like(dark)) == pytest.approx(20 * math.log10(255))
    assert psnr(dark.astype(np.float32), np.zeros_like(dark)) == 0


def test_the_volume_of_8_bits_is_that_of_saved_pictures():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 24, 30, 3)) * 1.2 - 0.1
    saved = [np.floor(np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8) for x in (a, b)]
    names = ("ssim_volume_matlab", "ssim_volume_matlab_uint8")
    floats, integers = evaluate(a, b, names), evaluate(*saved, names)
    assert floats[names[1]] == pytest.approx(integers[names[0]], rel=1e-12)
    assert floats[names[0]] != pytest.approx(integers[names[0]], rel=1e-6)
