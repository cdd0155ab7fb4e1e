"""The weights for raw files that come with the package: what they restore, and what they leave alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from paddle_restore import Restorer
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.stabilise import stabilise, stabilised_mean, unstabilise
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.data.synthetic.noise import load_camera
from paddle_restore.data.synthetic.raw_frames import RawExposure, expose_planes
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import open_network
from paddle_restore.serving.example import drawn_scene
from paddle_restore.shipped import RAW, shipped_folder
from tests.conftest import ROOT

CAMERA = ROOT / "configs/cameras/sony_a7s2.yml"
MIB = 2**20


@pytest.fixture(scope="module")
def folder():
    try:
        return shipped_folder(RAW)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def network(folder):
    return open_network(folder, threads=2)


@pytest.fixture(scope="module")
def restorer(folder):
    return Restorer(RAW, threads=2, camera=CAMERA)


@pytest.fixture
def take(tmp_path):
    """Photograph the drawn street: the file, and its mosaic without noise in fractions of white."""
    camera = load_camera(CAMERA)

    def photograph(iso: int, ratio: float = 1, pattern: str = "RGGB"):
        scene = drawn_scene()[100:420, 200:648]
        light = radiance(scene, camera.color_matrix, camera.white_balance)
        light = mosaic(cv2.GaussianBlur(light, (0, 0), 0.7), pattern)  # a lens is not as sharp as a drawing
        values = camera.expose(light, iso, np.random.default_rng(4), ratio)
        path = tmp_path / f"{iso}_{ratio}_{pattern}.dng"
        levels = {"black_level": camera.black_level, "white_level": camera.white_level}
        write_dng(path, values, pattern=pattern, white_balance=camera.white_balance, iso=iso, **levels)
        noisy = (values - float(camera.black_level)) / (camera.white_level - camera.black_level)
        return path, noisy, np.minimum(light / ratio, 1)

    return photograph


def signal(raw: RawImage) -> np.ndarray:
    return (raw.mosaic.astype(float) - raw.black_level[0]) / (raw.white_level - raw.black_level[0])


def psnr_of(values: np.ndarray, clean: np.ndarray, ratio: float = 1) -> float:
    return float(-10 * np.log10(np.square((values - clean) * ratio).mean()))


@pytest.mark.parametrize(
    ("iso", "ratio", "pattern", "gain"),
    [(3200, 1, "RGGB", 3), (25600, 1, "GBRG", 6), (1600, 30, "BGGR", 6), (3200, 100, "GRBG", 8)],
)
def test_a_noisy_frame_gains(restorer, take, iso, ratio, pattern, gain):
    path, noisy, clean = take(iso, ratio, pattern)
    assert psnr_of(signal(restorer.denoise(path)), clean, ratio) > psnr_of(noisy, clean, ratio) + gain


def test_a_frame_of_iso_100_stays_as_it_is(restorer, take):
    path, _, clean = take(100)
    assert psnr_of(signal(restorer.denoise(path)), clean) >= 50


@pytest.mark.parametrize("electrons", [0, 0.3, 1, 3, 30, 1000])
@pytest.mark.parametrize("read", [0.7, 3, 10])
def test_a_flat_frame_keeps_its_mean_and_loses_its_noise(network, electrons, read):
    gain = 1 / max(100 * electrons, 1000)
    exposure = RawExposure(gain, read * gain, 0, steps=65535)
    signal = np.full((4, 96, 96), electrons * gain, np.float32)
    noisy = expose_planes(signal, exposure, np.random.default_rng(0))
    denoised = network(stabilise(noisy, gain, exposure.variance)[None])[0]
    target = stabilised_mean(signal, gain, exposure.variance)
    # The mean of so many pixels is itself known to a fiftieth of the deviation.
    assert np.abs((denoised - target).mean((1, 2))).max() < 0.05
    assert denoised.std() < 0.12
    mean = unstabilise(denoised, gain, exposure.variance).mean() / gain
    assert mean == pytest.approx(electrons, abs=0.03 * np.hypot(electrons**0.5, read) + 0.01)


def test_what_lies_outside_the_context_does_not_matter(network, restorer):
    halo, side = restorer.spec.halo, 2 * restorer.spec.halo + 16
    rng = np.random.default_rng(0)
    levels = rng.uniform(0, 120, (2, 4, side // 8, side // 8)).repeat(8, 2).repeat(8, 3)
    one, other = (levels + rng.standard_normal(levels.shape)).astype(np.float32)
    grown = np.pad(other, ((0, 0), (64, 64), (64, 64)), mode="symmetric")
    whole = grown.copy()
    whole[:, 64:-64, 64:-64] = grown[:, 64:-64, 64:-64] = one
    whole[:, :64], whole[:, -64:] = 3, 40
    middle = np.s_[0, :, 64 + halo : 64 + halo + 16, 64 + halo : 64 + halo + 16]
    np.testing.assert_allclose(network(whole[None])[middle], network(grown[None])[middle], rtol=0, atol=2e-4)


def test_tiles_join(restorer, take, folder):
    path, *_ = take(6400)
    whole = restorer.denoise(path).mosaic.astype(int)
    tiled = Restorer(RAW, threads=2, camera=CAMERA, tile=384)
    assert tiled.forward.count(tiled.read(path)) > 1
    assert np.abs(tiled.denoise(path).mosaic - whole).max() <= 1  # of 61,439 levels


def test_the_files_are_small(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {"inference.yml", "model.onnx", "model.pdiparams", "model.pdmodel", "weights.safetensors"}
    assert all(path.stat().st_size <= 8 * MIB for path in folder.iterdir())
