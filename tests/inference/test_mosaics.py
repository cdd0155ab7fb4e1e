"""Raw in, raw out: stabilised windows, strength, clipped pixels, names, and both kinds of files at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rawpy
from skimage import data as photographs

from paddle_restore.data.camera_facts import CameraFacts
from paddle_restore.data.dng import BLACK, WHITE
from paddle_restore.data.image import read_image, write_image
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import read_raw
from paddle_restore.data.sensor_noise import SensorNoise
from paddle_restore.data.stabilise import stabilise
from paddle_restore.data.synthetic.dng import BAYER_PATTERNS, XTRANS_PATTERN, write_dng
from paddle_restore.data.synthetic.unprocess import mosaic, radiance
from paddle_restore.errors import UserError
from paddle_restore.inference.files import FileOptions, Kinds, find_tasks
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.pipeline import restore_files
from paddle_restore.inference.restored import RestoredRaw
from paddle_restore.inference.restorer import Restorer
from paddle_restore.inference.speed import seconds_per_pixel
from paddle_restore.inference.tiling import Tiling
from paddle_restore.models.spec import ModelSpec

MATRIX = (0.5838, -0.1430, -0.0246, -0.3497, 1.1477, 0.2297, -0.0748, 0.1885, 0.5778)
SPEC = ModelSpec("raw", "bayer", 1, 2, 1, "p", "r", "l", output="mosaic")
NOISE = SensorNoise((2e-3, 1e-3, 3e-3), (1e-4, 2e-4, 1e-4))


def same(batch: np.ndarray) -> np.ndarray:
    return batch


def mean3(batch: np.ndarray) -> np.ndarray:
    """A "network" that takes the mean of 3x3 packed pixels, and continues the borders by reflection."""
    padded = np.pad(batch, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    height, width = batch.shape[2:]
    parts = [padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.mean(parts, axis=0, dtype=np.float32)


def uneven(batch: np.ndarray) -> np.ndarray:
    """A "network" whose output differs between the four colours and the two directions."""
    gains = np.array([0.5, 0.6, 0.7, 0.8], np.float32)[:, None, None]
    return batch * gains + np.linspace(0, 1, batch.shape[3], dtype=np.float32)


def frame(height=48, width=64, pattern="RGGB", seed=0) -> RawImage:
    values = np.random.default_rng(seed).integers(300, 4096, (height, width)).astype(np.uint16)
    return RawImage(values, pattern, (500.0, 510.0, 520.0, 505.0), 4000.0, orientation=6)


def run(network, raw, strength=1.0, averaging=None, tile="none", spec=SPEC) -> np.ndarray:
    forward = Forward(network, spec, averaging or Averaging(), Tiling(tile), strength=strength)
    source = NetworkInput(raw, "bayer", 1.0, noise=NOISE, camera=CameraFacts())
    return forward.run([source])[0][0]


def normalised(raw: RawImage) -> np.ndarray:
    """The mosaic between black and white, not clipped."""
    levels = np.empty(raw.mosaic.shape)
    for row, column, colour in raw._period_pixels():
        levels[row::2, column::2] = raw.black_level[colour]
    return (raw.mosaic - levels) / (raw.white_level - levels)


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
@pytest.mark.parametrize("size", [(48, 64), (49, 65)])
def test_what_a_network_leaves_alone_comes_back_in_its_place(pattern, size):
    raw = frame(*size, pattern)
    out = run(same, raw)
    assert out.dtype == np.float32
    assert out.shape == size
    # The unbiased inverse adds up to a quarter of an electron.
    below = normalised(raw) - 1e-5
    assert (out >= below).all()
    assert (out - below <= 3e-3 / 4 + 2e-5).all()
    assert out.min() < -0.01


def test_windows_are_stabilised():
    seen = []

    def network(batch):
        seen.append(batch)
        return batch

    raw = frame()
    run(network, raw)
    np.testing.assert_allclose(seen[0][0], stabilise(raw.signal(), *NOISE.packed), rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.5])
def test_strength_blends_with_the_input(strength):
    raw = frame()
    noisy, whole = normalised(raw), run(mean3, raw)
    np.testing.assert_allclose(run(mean3, raw, strength), noisy + strength * (whole - noisy), atol=1e-5)


def test_clipped_pixels_stay():
    raw = frame()
    clipped = raw.mosaic >= 4000
    assert 0 < clipped.mean() < 0.2
    np.testing.assert_allclose(run(mean3, raw)[clipped], normalised(raw)[clipped], rtol=1e-6)
    assert not np.allclose(run(mean3, raw)[~clipped], normalised(raw)[~clipped], atol=0.05)


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
def test_tiles_have_no_seams(pattern):
    raw = frame(70, 90, pattern)
    np.testing.assert_array_equal(run(mean3, raw), run(mean3, raw, tile=24))


@pytest.mark.parametrize("pattern", BAYER_PATTERNS)
def test_the_self_ensemble_is_the_mean_of_the_frames_own_flips(pattern):
    raw = frame(48, 48, pattern)
    inside = np.s_[2:-2, 2:-2]  # at the borders, a flipped frame may grow at another side
    ensemble = run(mean3, raw, averaging=Averaging(True))
    np.testing.assert_allclose(ensemble[inside], run(mean3, raw)[inside], atol=2e-6)
    flips = [(bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(8)]
    single = []
    for flip in flips:
        out = run(uneven, raw.flipped(*flip))
        rows, columns, transpose = flip
        out = out.T if transpose else out
        single.append(out[:: -1 if rows else 1, :: -1 if columns else 1])
    mean = run(uneven, raw, averaging=Averaging(True))
    np.testing.assert_allclose(mean, np.mean(single, axis=0), atol=2e-6)


def restorer(network=mean3, strength=1.0) -> Restorer:
    return Restorer.of(Forward(network, SPEC, strength=strength), Preprocess())


@pytest.fixture
def night(tmp_path) -> Path:
    """A noisy raw file, upright only after a turn."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    signal = 1500 + 1300 * np.sin(x / 20) * np.cos(y / 15)
    values = 500 + rng.poisson(signal / 4) * 4 + rng.normal(0, 20, signal.shape)
    values[:8] = rng.normal(500, 20, (8, 128))
    mosaic = np.clip(np.rint(values), 0, 4000).astype(np.uint16)
    levels = {"black_level": 500, "white_level": 4000}
    write_dng(tmp_path / "night.dng", mosaic, **levels, orientation=6, iso=1600)
    return tmp_path / "night.dng"


def test_a_raw_file_becomes_a_raw_file(night, tmp_path):
    result = restorer().save(night, tmp_path / "clean.dng")
    assert isinstance(result, RestoredRaw)
    written, before = read_raw(tmp_path / "clean.dng"), read_raw(night)
    assert (written.black_level, written.white_level) == ((BLACK,) * 4, WHITE)
    assert (written.pattern, written.orientation, written.iso) == (before.pattern, 6, 1600)
    np.testing.assert_array_equal(written.mosaic, restorer().denoise(night).mosaic)
    values = (written.mosaic - float(BLACK)) / (WHITE - BLACK)
    np.testing.assert_allclose(values, np.clip(result.raw.mosaic, None, 1), atol=1e-5)
    assert written.mosaic.min() < BLACK  # noise below black is kept


def test_a_developed_picture_is_upright_and_as_bright_as_asked(night, tmp_path):
    restored = restorer().save(night, tmp_path / "clean.tif", ratio=0.5, colour_space="display_p3")
    picture = read_image(tmp_path / "clean.tif")
    assert picture.dtype == np.uint16
    assert picture.shape == (128, 96, 3)
    assert restored.picture.shape == (128, 96, 3)
    brighter = restorer()(night, ratio=1.0)
    assert brighter.shape == (128, 96, 3)
    assert brighter.dtype == np.float32
    assert brighter.max() <= 1
    assert brighter.mean() > 1.2 * (restored.picture / 65535).mean()


def test_before_is_developed_like_after(night):
    opened = restorer(same)
    source = opened.read(night, 1.0)
    before, after = source.preview(), opened.run([source])[0].picture
    # In the dark, the unbiased inverse of noise that no network has removed is brighter.
    assert np.quantile(np.abs(before - after / 257), 0.99) < 2


# All 0 below a black level is what LibRaw gives for missing pixels: it is refused (test_raw_kinds.py).
@pytest.mark.parametrize("value", [1, 500, 4000])
def test_a_frame_of_one_value_comes_back(tmp_path, value):
    write_dng(tmp_path / "a.dng", np.full((64, 64), value, np.uint16), black_level=500, white_level=4000)
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        white = raw.white_level
    out = restorer().denoise(tmp_path / "a.dng")
    expected = max((value - 500) / (white - 500), -BLACK / (WHITE - BLACK))
    np.testing.assert_allclose((out.mosaic - float(BLACK)) / (WHITE - BLACK), expected, atol=2e-4)


def test_xtrans_is_refused_in_one_line(tmp_path):
    write_dng(
        tmp_path / "a.dng", np.full((600, 600), 300, np.uint16), pattern=XTRANS_PATTERN, white_level=4000
    )
    with pytest.raises(UserError, match="bayer files, and this is a xtrans one; sid_unet_xtrans") as error:
        restorer()(tmp_path / "a.dng")
    assert "\n" not in str(error.value)


def options(*inputs, **more) -> FileOptions:
    return FileOptions([Path(one) for one in inputs], **more)


BOTH = Kinds(pictures=True, raw=True, dng=True)


def test_raw_files_become_dng_and_pictures_stay_what_they_are(tmp_path):
    for name in ("a.nef", "b.jpg", "c.tif", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    tasks = find_tasks(options(tmp_path, output=tmp_path / "out"), BOTH)
    assert [task.output.name for task in tasks] == ["a.dng", "b.jpg", "c.tif"]
    tasks = find_tasks(options(tmp_path, output=tmp_path / "out", format="dng"), BOTH)
    assert [task.output.name for task in tasks] == ["a.dng", "b.jpg", "c.tif"]
    tasks = find_tasks(options(tmp_path, output=tmp_path / "out", format="png"), BOTH)
    assert [task.output.name for task in tasks] == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize(
    ("source", "output", "kinds", "message"),
    [
        ("a.nef", "out.nef", BOTH, "written as DNG only"),
        ("a.jpg", "out.dng", BOTH, "is a picture"),
        ("a.nef", "out.dng", Kinds(pictures=False, raw=True), "gives pictures"),
        ("a.jpg", "out.dng", Kinds(pictures=True), "gives pictures"),
    ],
)
def test_names_that_cannot_be_written(tmp_path, source, output, kinds, message):
    (tmp_path / source).write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        find_tasks(options(tmp_path / source, output=tmp_path / output), kinds)


def test_dng_as_the_format_of_a_network_for_pictures(tmp_path):
    with pytest.raises(UserError, match="--format dng"):
        find_tasks(options(tmp_path, output=tmp_path, format="dng"), Kinds(pictures=True))


def test_a_folder_of_both_kinds(night, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    night.rename(folder / "night.dng")
    write_image(folder / "day.png", np.random.default_rng(0).random((40, 40, 3)))
    pictures = Restorer.of(
        Forward(lambda batch: batch * 0.5, ModelSpec("pictures", "srgb", 1, 1, 0, "p", "r", "l")),
        Preprocess(),
    )
    pictures.raw = restorer()
    assert (
        restore_files(pictures, options(folder, output=tmp_path / "out", compare=tmp_path / "compare.png"))
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["day.png", "night.dng"]
    half = read_image(tmp_path / "out/day.png") / read_image(folder / "day.png").clip(1)
    assert np.median(half) == pytest.approx(0.5, abs=0.01)
    assert (tmp_path / "compare.png").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert "ratio" not in lines[1]
    assert lines[-1].startswith("restored 2 of 2 files")
    batch = [pictures.read(folder / name) for name in ("night.dng", "day.png")]
    kinds = [isinstance(result, RestoredRaw) for result in pictures.run(batch)]
    assert kinds == [True, False]


def test_the_default_opens_a_network_when_it_is_needed(night, monkeypatch):
    opened = []

    def open_network(folder, *args):
        opened.append(Path(folder).name)
        return same

    monkeypatch.setattr("paddle_restore.inference.restorer.open_network", open_network)
    default = Restorer()
    assert default.kinds == BOTH
    assert opened == []
    default(np.zeros((16, 16, 3)))
    assert opened == ["denoise_unet"]
    default(night, 1.0)
    default(night, 1.0)
    assert opened == ["denoise_unet", "denoise_raw"]


def test_the_noise_of_a_cameras_file_is_taken(night):
    given = Restorer.of(
        Forward(mean3, SPEC), Preprocess(), camera=Path("configs/cameras/sony_a7s2.yml")
    ).read(night)
    assert given.noise is not None
    assert given.noise.gain[0] == pytest.approx(0.105 * 16 / 15871)


def test_strength_of_networks_that_develop_stays_refused():
    with pytest.raises(UserError, match="strength"):
        Forward(mean3, replace(SPEC, output="picture", scale=2), strength=0.5)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_other_backends_give_the_same_frame(night, backend):
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    expected = Restorer(threads=1).denoise(night).mosaic.astype(int)
    frame = Restorer("denoise_raw", backend=backend, threads=1).denoise(night)
    assert np.abs(frame.mosaic - expected).max() <= 4  # of 65535


def test_a_clean_frame_comes_back(tmp_path):
    """ISO 100, well exposed: at least 50 dB, in tiles too."""
    photo = photographs.coffee()[:384, :576].astype(np.float32) / 255
    light = cv2.GaussianBlur(radiance(photo, MATRIX, (2.0, 1.0, 1.6)), (0, 0), 1.0)
    clean, rng = mosaic(light, "GRBG"), np.random.default_rng(0)
    electrons = rng.poisson(clean * 60_000) + rng.normal(0, 3, clean.shape)
    values = np.clip(np.rint(512 + electrons * (15871 / 60_000)), 0, 16383).astype(np.uint16)
    write_dng(tmp_path / "a.dng", values, pattern="GRBG", black_level=512, white_level=16383)
    for tile in ("auto", 512):
        out = Restorer(threads=1, tile=tile).denoise(tmp_path / "a.dng")
        error = (out.mosaic - float(BLACK)) / (WHITE - BLACK) - np.minimum(clean, 1)
        assert -10 * np.log10(np.mean(error**2)) > 50


def test_the_time_of_a_network_for_mosaics_is_measured():
    """It is, before long work begins: a large frame, or the first request of a service."""
    calls = []

    def counted(batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape)
        return batch

    forward = Forward(counted, SPEC, Averaging(), Tiling("none"))
    assert seconds_per_pixel(forward) > 0
    assert calls == [(1, 4, 128, 128)] * 2
