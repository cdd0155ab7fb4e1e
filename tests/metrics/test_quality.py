"""Protocols against the values that the published evaluations give."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
from scipy.ndimage import correlate

from paddle_restore.errors import UserError
from paddle_restore.metrics import PROTOCOLS, evaluate, psnr, ssim
from tests.conftest import GOLDEN


def picture(seed, shape=(40, 52, 3)):
    """A float picture with structure: smoothed noise around a ramp."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random(shape), (0, 0), 1.5)
    return (0.5 * noise + 0.5 * np.linspace(0, 1, shape[1])[None, :, None]).clip(0, 1)


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
def test_bands_do_not_show(monkeypatch, protocol, height):
    a, b = picture(2, (height, 20, 3)), picture(3, (height, 20, 3))
    banded = ssim(a, b, protocol)
    monkeypatch.setattr("paddle_restore.metrics.fidelity._BAND", 10_000)
    assert banded == pytest.approx(ssim(a, b, protocol), abs=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_equal_pictures_and_symmetry(protocol):
    a, b = picture(4), picture(5)
    expected = math.inf if protocol.startswith("psnr") else 1
    assert evaluate(a, a, [protocol])[protocol] == pytest.approx(expected, abs=1e-12)
    assert evaluate(a, b, [protocol]) == pytest.approx(evaluate(b, a, [protocol]))
    assert PROTOCOLS[protocol].name == protocol
    assert evaluate(a, b, [protocol])[protocol] < expected


def test_rounding_is_half_up_and_clips():
    b = np.zeros((8, 8, 3))
    assert psnr(b + 0.4 / 255, b, "psnr_uint8") == math.inf
    assert psnr(b + 0.5 / 255 + 1e-9, b, "psnr_uint8") == pytest.approx(20 * math.log10(255))
    assert psnr(b - 1, b, "psnr_uint8") == math.inf
    assert psnr(b - 1, b) == 0


def test_the_dtype_decides_the_range_and_not_the_values():
    dark = np.ones((16, 16, 3), np.uint8)
    assert psnr(dark, np.zeros_like(dark)) == pytest.approx(20 * math.log10(255))
    assert psnr(dark.astype(np.float32), np.zeros_like(dark)) == 0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((16, 16, 3)), np.zeros((16, 17, 3)), "one shape"),
        (np.zeros((16, 16)), np.zeros((16, 16)), r"\(H, W, 3\)"),
        (np.zeros((16, 16, 3), np.uint16), np.zeros((16, 16, 3)), "uint16"),
        (np.zeros((6, 16, 3)), np.zeros((6, 16, 3)), "at least"),
    ],
)
def test_bad_pictures_are_refused_in_one_line(a, b, message):
    with pytest.raises(UserError, match=message) as error:
        evaluate(a, b, PROTOCOLS)
    assert "\n" not in str(error.value)


def test_what_is_no_number_measures_as_none():
    a, b = picture(7), picture(8)
    a[3, 4, 1] = math.nan
    assert all(math.isnan(value) for value in evaluate(a, b, PROTOCOLS).values())
    assert all(math.isnan(value) for value in evaluate(b, a, PROTOCOLS).values())


def test_unknown_protocols_are_refused_with_the_nearest():
    a = picture(6)
    with pytest.raises(UserError, match="did you mean 'ssim_y_matlab'"):
        ssim(a, a, "ssim_y_mathlab")
    with pytest.raises(UserError, match="not a protocol of psnr"):
        psnr(a, a, "ssim_y_matlab")
    with pytest.raises(UserError, match="unknown metric protocol"):
        evaluate(a, a, ["niqe"])
