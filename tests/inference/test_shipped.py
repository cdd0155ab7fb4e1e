"""The weights that come with the package: what they restore, and the error where they are missing."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore import Restorer, shipped
from paddle_restore.cli.main import main
from paddle_restore.data.image import read_image, write_image
from paddle_restore.data.raw import read_raw
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.errors import UserError
from paddle_restore.metrics import psnr
from paddle_restore.serving.example import drawn_scene

HELD_OUT = ("coffee", "astronaut")  # photographs of scikit-image, of which the training saw no pixel


@pytest.fixture(scope="module")
def restorer(shipped):
    return Restorer(threads=2)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """(320, 448, 3) float32: a part of the drawn street."""
    return drawn_scene()[100:420, 200:648].copy()


@pytest.fixture(scope="module")
def noisy(scene) -> np.ndarray:
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 1, scene.shape) * np.sqrt(0.001 + 0.006 * scene)
    return np.clip(scene + noise, 0, 1).astype(np.float32)


def with_strength(strength: float, picture: np.ndarray) -> np.ndarray:
    return Restorer(threads=2, strength=strength)(picture)


def fails(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main(argv=[str(word) for word in words])
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2, lines
    assert len(lines) == 1, lines
    return lines[0]


def test_a_noisy_picture_gains(restorer, scene, noisy):
    assert psnr(restorer(noisy), scene) > psnr(noisy, scene) + 5


@pytest.mark.parametrize("name", HELD_OUT)
def test_a_clean_photograph_stays_as_it_is(restorer, name):
    skimage = pytest.importorskip("skimage", reason="needs the photographs of scikit-image")
    photograph = getattr(skimage.data, name)()
    assert psnr(restorer(photograph), photograph.astype(np.float32) / 255) >= 40


def test_a_network_by_its_id_needs_no_weights_file(restorer, noisy):
    np.testing.assert_array_equal(Restorer("denoise_unet", threads=2)(noisy), restorer(noisy))


def test_strength_goes_from_the_input_beyond_the_result(restorer, noisy):
    np.testing.assert_array_equal(with_strength(0, noisy), noisy)
    full, half, more = restorer(noisy), with_strength(0.5, noisy), with_strength(1.5, noisy)
    low, high = np.minimum(noisy, full), np.maximum(noisy, full)
    assert ((half >= low - 1e-6) & (half <= high + 1e-6)).all()
    inside = (full > 0) & (full < 1)  # elsewhere the result is clipped
    np.testing.assert_allclose(half[inside], (0.5 * (noisy + full))[inside], atol=1e-6)
    np.testing.assert_allclose(more[inside], np.clip(1.5 * full - 0.5 * noisy, 0, 1)[inside], atol=1e-6)
    assert np.abs(more - noisy).mean() > 1.3 * np.abs(full - noisy).mean()


def test_tiles_join(restorer, noisy):
    grown = np.tile(noisy, (2, 2, 1))
    whole = Restorer(threads=2, tile="none")(grown)
    for options in ({"tile": 400}, {"tile": 512}, {"memory": 0.06}):
        tiled = Restorer(threads=2, **options)
        assert tiled.forward.count(tiled.read(grown)) > 1
        assert np.abs(tiled(grown) - whole).max() < 1 / 255


@pytest.mark.parametrize("shape", [(15, 40), (40, 15), (1, 1)])
def test_a_picture_below_the_networks_multiple(restorer, shape):
    with pytest.raises(UserError, match=r"too small for denoise_unet, which needs at least 16x16") as caught:
        restorer(np.zeros((*shape, 3), np.uint8))
    assert "\n" not in str(caught.value)


def test_the_smallest_picture(restorer, noisy):
    assert restorer(noisy[:16, :16]).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (30, 60, 200), (200, 40, 30), (0, 255, 0)]
)
def test_a_flat_picture_stays_flat(restorer, colour):
    flat = np.full((70, 90, 3), colour, np.uint8)
    largest = np.abs(restorer(flat) - flat.astype(np.float32) / 255).max()
    assert largest <= 1 / 255


def test_a_raw_file_with_the_network_for_pictures_names_a_raw_network(shipped, capsys, tmp_path):
    write_dng(tmp_path / "night.dng", np.full((64, 64), 600, np.uint16), white_level=4095)
    words = ("restore", tmp_path / "night.dng", "--output", tmp_path / "out", "--model", "denoise_unet")
    line = fails(capsys, *words)
    assert "night.dng: is a raw file, and denoise_unet restores pictures (PNG" in line
    assert "name no model, or a raw network such as lamba or sid_unet" in line


def test_the_command_without_a_model_takes_a_raw_file(shipped, tmp_path):
    clean = np.linspace(600, 3000, 128)[None].repeat(128, 0)
    clean[40:80, 40:80] = 550
    rng = np.random.default_rng(0)
    noisy = 512 + rng.poisson((clean - 512) / 8) * 8 + rng.normal(0, 20, clean.shape)
    mosaic = np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)
    write_dng(tmp_path / "night.dng", mosaic, black_level=512, white_level=4095)
    with pytest.raises(SystemExit) as stop:
        main(argv=["restore", str(tmp_path / "night.dng"), "--output", str(tmp_path / "clean.dng")])
    assert stop.value.code == 0
    written = read_raw(tmp_path / "clean.dng")
    before = mosaic - clean
    after = (written.mosaic - 4096.0) * ((4095 - 512) / 61439) + 512 - clean
    assert after.std() < before.std() / 4
    assert abs(after.mean()) < 2


@pytest.mark.parametrize("strength", ["2", "-0.1", "nan"])
def test_a_strength_out_of_range(shipped, capsys, tmp_path, strength):
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3)))
    words = ("restore", tmp_path / "a.png", "--output", tmp_path / "b.png", f"--strength={strength}")
    assert f"strength must be a number from 0 to 1.5, not {float(strength)}" in fails(capsys, *words)
    assert not (tmp_path / "b.png").exists()


def test_the_command_without_a_model(shipped, restorer, noisy, scene, tmp_path):
    write_image(tmp_path / "a.png", noisy)
    with pytest.raises(SystemExit) as stop:
        main(argv=["restore", str(tmp_path / "a.png"), "--output", str(tmp_path / "b.png")])
    assert stop.value.code == 0
    written = read_image(tmp_path / "b.png").astype(np.float32) / 255
    assert np.abs(written - restorer(tmp_path / "a.png")).max() <= 0.51 / 255
    assert psnr(written, scene) > psnr(noisy, scene) + 5


def test_an_installation_without_weights(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3)))
    words = "is missing, so this installation has no weights of its own; install the package again, or name"
    with pytest.raises(UserError, match=words):
        Restorer()
    assert words in fails(capsys, "restore", tmp_path / "a.png", "--output", tmp_path / "b.png")
    pytest.importorskip("fastapi", reason="needs fastapi: pip install 'paddle_restore[serve]'")
    assert words in fails(capsys, "serve", "--port", "0")
