"""Development of mosaics in memory: exposure, highlights, orientation, colour spaces and their profiles."""

from __future__ import annotations

import io

import numpy as np
import pytest
import rawpy
from PIL import Image, ImageCms

from paddle_restore.data.colour_spaces import COLOUR_SPACES
from paddle_restore.data.develop import develop_mosaic
from paddle_restore.data.dng import CameraFacts, read_camera
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import read_raw
from paddle_restore.data.synthetic.dng import write_dng

PATCHES = [(0.5, 0.5, 0.5), (0.6, 0.3, 0.2), (0.2, 0.5, 0.3), (0.15, 0.2, 0.5), (0.02, 0.02, 0.02)]


def flat(colour, white_balance=(1.0, 1.0, 1.0, 1.0)) -> RawImage:
    """A frame of one colour, given as the camera's light before its white balance."""
    mosaic = np.empty((48, 64), np.float32)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = colour[channel]
    return RawImage(mosaic, "RGGB", (0.0,) * 4, 1.0, white_balance)


def centre(raw: RawImage, *options) -> np.ndarray:
    return develop_mosaic(raw, CameraFacts(), *options)[0][24, 32] / 65535


@pytest.mark.parametrize("name", COLOUR_SPACES)
def test_pixels_and_profile_say_the_same_colour(name):
    """Little CMS converts each patch by its profile to sRGB."""
    srgb = ImageCms.createProfile("sRGB")
    for colour in PATCHES:
        picture, icc = develop_mosaic(flat(colour), CameraFacts(), 1.0, name)
        image = Image.fromarray(np.rint(picture[20:28, 20:28] / 257).astype(np.uint8))
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        seen = np.asarray(ImageCms.profileToProfile(image, profile, srgb, renderingIntent=1))[4, 4] / 255
        light = np.where(seen < 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
        np.testing.assert_allclose(light, colour, atol=0.006)


def test_exposure_amplifies_the_light():
    for exposure in (0.5, 1, 2, 8):
        value = centre(flat((0.1, 0.1, 0.1)), exposure)
        expected = 1.099 * (0.1 * exposure) ** 0.45 - 0.099
        np.testing.assert_allclose(value, expected, atol=0.002)


@pytest.mark.parametrize("exposure", [0.5, 1, 4, 100])
@pytest.mark.parametrize("light", [0.9, 1.0])
def test_overexposed_parts_are_white_not_pink(exposure, light):
    white_balance = (2.2, 1.0, 1.6, 1.0)
    grey = np.array([light / gain for gain in white_balance[:3]])
    for colour in (grey, np.minimum(1.2 * grey, 1), np.ones(3)):
        value = centre(flat(colour, white_balance), exposure)
        assert np.ptp(value) < 0.002
        if exposure > 1:
            assert value.min() > 0.998


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_the_files_development_turned_upright(tmp_path, orientation):
    light = np.kron(np.random.default_rng(0).random((10, 12)), np.ones((8, 8))) * 3000 + 550
    levels = {"black_level": 512, "white_level": 4095, "white_balance": (2.25, 1.0, 1.5)}
    path = tmp_path / "a.dng"
    write_dng(path, light.astype(np.uint16), **levels, pattern="GRBG", orientation=orientation)
    picture, _ = develop_mosaic(read_raw(path), read_camera(path))
    with rawpy.imread(str(path)) as raw:
        options = {"use_camera_wb": True, "no_auto_bright": True, "output_bps": 16, "adjust_maximum_thr": 0}
        expected = raw.postprocess(**options)
    assert picture.shape == expected.shape
    assert np.abs(picture.astype(float) - expected).mean() < 65535 / 2000
