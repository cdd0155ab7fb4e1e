"""Pictures that a simulated camera makes of clean photographs."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from paddle_restore.data.synthetic.camera import (
    Development,
    draw_development,
    expose,
    mean_of_exposures,
    source_side,
    take_picture,
)
from paddle_restore.data.synthetic.noise import SensorNoise

SIZE = 96
# Nothing is done to the picture but mosaicing and development.
PLAIN = Development(
    pattern="RGGB",
    demosaic="edges",
    exposure=1.0,
    white_balance=np.array([2.0, 1.0, 1.6]),
    matrix=np.array([[1.6, -0.5, -0.1], [-0.2, 1.5, -0.3], [0.0, -0.6, 1.6]]),
    tone=0.4,
    gamma=2.2,
    toe=0.003,
    noise=SensorNoise(0.01, 0.01, 0.0),
    clip_black=False,
    scale=1.0,
    chroma_blur=0.0,
    luma_blur=0.0,
    sharpen=0.0,
    sharpen_radius=1.0,
    jpeg_quality=0,
    jpeg_subsampling=False,
)
NOISY = SensorNoise(40.0, 60.0, 0.0)


def photo(development, seed=0):
    """Smooth colours between 40 and 215, which every step keeps."""
    side = source_side(SIZE, development)
    small = np.random.default_rng(seed).uniform(60, 200, (5, 5, 3)).astype(np.float32)
    gray = small.mean(axis=2, keepdims=True)  # of little saturation: inside what the camera can see
    return cv2.resize(gray + 0.2 * (small - gray), (side, side), interpolation=cv2.INTER_CUBIC).astype(
        np.uint8
    )


def take(development, seed=0):
    return take_picture(photo(development), SIZE, development, np.random.default_rng(seed))


def middle(development):
    picture = photo(development)
    margin = (picture.shape[0] - SIZE) // 2
    return picture[margin : margin + SIZE, margin : margin + SIZE] / 255


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize("demosaic", ["bilinear", "edges", "gradient", "none"])
@pytest.mark.parametrize("clip_black", [True, False])
def test_development_inverts_the_camera(pattern, demosaic, clip_black):
    development = replace(PLAIN, pattern=pattern, demosaic=demosaic, clip_black=clip_black)
    noisy, clean = take(development)
    assert noisy.shape == clean.shape == (SIZE, SIZE, 3)
    assert noisy.dtype == clean.dtype == np.float32
    assert np.abs(clean - middle(development)).max() < 0.03
    assert np.abs(clean - middle(development)).mean() < 0.004
    assert np.abs(noisy - clean).max() < 0.02  # rounding and almost no noise


def test_the_noisy_picture_has_whole_8_bit_values():
    noisy = take(replace(PLAIN, noise=NOISY))[0] * 255
    np.testing.assert_allclose(noisy, np.rint(noisy), atol=1e-4)


def test_noise_is_correlated_and_falls_with_brightness():
    development = replace(PLAIN, tone=0.0, noise=SensorNoise(2.0, 120.0, 0.0))
    noisy, clean = take(development)
    noise = noisy - clean
    lag = np.mean(noise[:, 1:] * noise[:, :-1]) / np.mean(noise**2)
    assert 0.2 < lag < 0.8
    dark, bright = (noise[part].std() for part in (clean < 0.4, clean > 0.65))
    assert dark > 1.2 * bright


def test_no_demosaicing_leaves_neighbours_independent():
    noisy, clean = take(replace(PLAIN, demosaic="none", noise=NOISY))
    noise = noisy - clean
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1]) / np.mean(noise**2)) < 0.05


def test_chroma_smoothing_makes_chroma_noise_coarser_than_luma_noise():
    noisy, clean = take(replace(PLAIN, noise=NOISY, chroma_blur=2.0))
    noise = cv2.cvtColor(noisy, cv2.COLOR_RGB2YCrCb) - cv2.cvtColor(clean, cv2.COLOR_RGB2YCrCb)
    luma, chroma = (np.mean(n[:, 2:] * n[:, :-2]) / np.mean(n**2) for n in (noise[..., 0], noise[..., 1]))
    assert chroma > luma + 0.3


def test_exposure_darkens_both_and_clipping_at_black_lifts_dark_noise():
    noise = SensorNoise(4.0, 120.0, 0.0)
    bright, dark = take(PLAIN)[1], take(replace(PLAIN, exposure=0.05))[1]
    assert dark.mean() < 0.5 * bright.mean()
    # Before demosaicing, which averages, and without a matrix, which subtracts channels.
    dim = replace(PLAIN, exposure=0.005, noise=noise, demosaic="bilinear", matrix=np.eye(3))
    lost, kept = (take(replace(dim, clip_black=clip))[0].mean() for clip in (True, False))
    assert lost > kept


@pytest.mark.parametrize("level", [0.0, 30.0, 90.0, 200.0, 1500.0])
def test_the_clean_signal_is_the_mean_of_exposures_that_are_clipped_at_black(level):
    noise = SensorNoise(4.0, 60.0, 30.0)
    flat = np.full((400, 400), level, np.float32)
    clean = mean_of_exposures(flat, noise)
    assert clean.std() < 1e-3
    measured = np.maximum(expose(flat, noise, np.random.default_rng(0)), 0).mean()
    assert clean[0, 0] == pytest.approx(measured, abs=1.0)
    assert clean[0, 0] >= level


def test_dark_noisy_pictures_are_not_brighter_than_their_clean_ones():
    dim = replace(PLAIN, exposure=0.01, noise=SensorNoise(4.0, 60.0, 0.0), clip_black=True, matrix=np.eye(3))
    noisy, clean = take(dim)
    assert clean.mean() > noisy.mean()  # the curve, which is concave, takes more from noise than it adds


@pytest.mark.parametrize("name", ["luma_blur", "sharpen", "jpeg_quality", "scale"])
def test_each_step_changes_the_picture(name):
    value = {"luma_blur": 0.8, "sharpen": 1.0, "jpeg_quality": 60, "scale": 1.7}[name]
    plain = replace(PLAIN, noise=NOISY)
    noisy, clean = take(replace(plain, **{name: value}))
    before = (take(plain)[0] - take(plain)[1]).std()
    after = (noisy - clean).std()
    assert (after > 1.1 * before) if name == "sharpen" else (after < 0.97 * before)


def test_many_electrons_are_drawn_from_a_normal_distribution_of_the_same_variance():
    flat = np.full((source_side(SIZE, PLAIN),) * 2 + (3,), 128, np.uint8)
    deviations = []
    for gain in (200.0, 1.0):  # Poisson's and normal
        development = replace(PLAIN, demosaic="none", noise=SensorNoise(gain, 0.0, 0.0))
        noisy, clean = take_picture(flat, SIZE, development, np.random.default_rng(0))
        deviations.append((noisy - clean).std() / np.sqrt(gain))
    assert deviations[0] == pytest.approx(deviations[1], rel=0.1)


def test_draws_are_valid_and_the_generator_decides_them():
    kinds = set()
    for seed in range(60):
        first, again = (draw_development(np.random.default_rng(seed)) for _ in range(2))
        assert str(first) == str(again)
        np.testing.assert_allclose(first.matrix.sum(axis=1), 1)
        assert source_side(SIZE, first) % 2 == 0
        noisy, clean = take(first, seed)
        for picture in (noisy, clean):
            assert picture.shape == (SIZE, SIZE, 3)
            assert picture.min() >= 0
            assert picture.max() <= 1
        kinds.add(first.demosaic)
    assert kinds == {"bilinear", "edges", "gradient", "none"}


@pytest.mark.parametrize("scale", [1.0, 1.8])
def test_an_untouched_photograph_is_its_own_clean_picture(scale):
    development = replace(PLAIN, untouched=True, scale=scale, noise=NOISY, jpeg_quality=60)
    noisy, clean = take(development)
    np.testing.assert_array_equal(noisy, clean)
    if scale == 1:
        np.testing.assert_allclose(clean, middle(development), atol=1e-6)


def test_a_share_is_almost_clean():
    for seed in range(20):
        development = draw_development(np.random.default_rng(seed), clean_share=1.0)
        noisy, clean = take(development)
        assert np.mean((noisy - clean) ** 2) < 3e-5  # 45 dB
