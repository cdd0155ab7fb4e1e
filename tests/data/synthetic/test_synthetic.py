"""Synthetic raw files and scenes: what LibRaw reads back, and noise as asked for."""

from __future__ import annotations

import argparse
import filecmp
import json

import numpy as np
import pytest
import rawpy

from paddle_restore.cli import prepare_demo
from paddle_restore.data.image import read_image, to_float
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.data.sid import SIDEval, SIDOptions
from paddle_restore.data.synthetic import scenes
from paddle_restore.data.synthetic.dng import BAYER_PATTERNS, XTRANS_PATTERN, write_dng
from paddle_restore.data.synthetic.noise import SensorNoise, add_noise, load_camera
from paddle_restore.errors import UserError
from paddle_restore.metrics import psnr
from paddle_restore.models import model_spec


def make_demo(folder, *words) -> int:
    parser = argparse.ArgumentParser()
    prepare_demo.add_arguments(parser)
    return prepare_demo.run(parser.parse_args(["--output", str(folder), *words]))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("demo")
    assert make_demo(folder) == 0
    return folder


@pytest.mark.parametrize("pattern", [*BAYER_PATTERNS, XTRANS_PATTERN], ids=lambda p: p[:4])
@pytest.mark.parametrize("compression", ["none", "lossless jpeg"])
def test_libraw_reads_back_every_bit(tmp_path, pattern, compression):
    mosaic = np.random.default_rng(0).integers(0, 16384, (42, 54)).astype(np.uint16)
    write_dng(tmp_path / "a.dng", mosaic, pattern=pattern, white_level=16383, compression=compression)
    raw = read_raw(tmp_path / "a.dng")
    np.testing.assert_array_equal(raw.mosaic, mosaic)
    assert raw.pattern == pattern


@pytest.mark.parametrize("bits", [12, 14])
def test_packed_samples_read_back(tmp_path, bits):
    mosaic = np.random.default_rng(0).integers(0, 2**bits, (32, 40)).astype(np.uint16)
    write_dng(tmp_path / "a.dng", mosaic, white_level=2**bits - 1, bits=bits)
    np.testing.assert_array_equal(read_raw(tmp_path / "a.dng").mosaic, mosaic)


@pytest.mark.parametrize("level", [0.0, 3.0, 50.0, 800.0])
def test_noise_has_the_variance_asked_for(level):
    noise = SensorNoise(gain=1.7, read=2.5, row=0.8)
    dn = add_noise(np.full((1500, 600), level), noise, np.random.default_rng(0))
    assert dn.mean() == pytest.approx(level, abs=0.15)
    assert dn.var() == pytest.approx(noise.variance(level), rel=0.03)
    # The rows share an offset, the columns do not.
    expected = noise.row**2 + (noise.variance(level) - noise.row**2) / 600
    assert dn.mean(1).var() == pytest.approx(expected, rel=0.15)


def test_a_camera_file_refuses_what_it_does_not_know(tmp_path):
    text = prepare_demo.CAMERA.read_text()
    (tmp_path / "a.yml").write_text(text.replace("gain_iso100", "gain_iso10"))
    with pytest.raises(UserError, match="unknown key 'gain_iso10'; did you mean 'gain_iso100'"):
        load_camera(tmp_path / "a.yml")


def test_the_demo_is_a_sid_data_set(demo):
    options = SIDOptions(root=demo, train_list="Sony_train_list.txt", eval_list="Sony_test_list.txt")
    data = SIDEval(options, model_spec("sid_unet"))
    assert {pair.group for pair in data.pairs} == {"x100", "x250", "x300"}
    assert {read_raw(pair.short).pattern for pair in data.pairs} == {"RGGB", "GRBG"}
    sample = data.sample(2)
    # As dark as SID: little is left of the picture, but its mean is right.
    assert psnr(sample["baseline"].transpose(1, 2, 0), sample["target"].transpose(1, 2, 0)) < 18


def test_short_exposures_are_the_long_one_divided_by_the_ratio(demo):
    long = read_raw(demo / "Sony/long/10001_00_10s.ARW").packed()
    for seconds in scenes.SHORT_SECONDS:
        short = read_raw(demo / f"Sony/short/10001_00_{seconds}s.ARW")
        signal = short.mosaic.astype(float).mean() - 512
        assert signal * 10 / float(seconds) / 15871 == pytest.approx(long.mean(), rel=0.05)


def test_the_long_exposure_develops_to_the_photograph(demo):
    for scene in scenes.SCENES:
        picture = to_float(develop(demo / f"Sony/long/{scene.id}_00_10s.ARW"))
        photo = scenes.photograph(scene)
        np.testing.assert_allclose(picture.mean((0, 1)), photo.mean((0, 1)), rtol=0.03)
        assert psnr(picture, photo) > 28  # what demosaicing costs


def test_test_photographs_are_never_trained_on():
    photos = {
        split: {s.photo for s in scenes.SCENES if s.split == split} for split in ("train", "val", "test")
    }
    assert not photos["train"] & (photos["test"] | photos["val"])


def test_pairs_show_the_same_picture(demo):
    noisy = sorted((demo / "pairs/train/input").iterdir())
    assert len(noisy) >= 10
    for path in noisy[:4]:
        clean = read_image(path.parent.parent / "groundtruth" / path.name)
        assert clean.shape == (256, 256, 3)
        assert 20 < psnr(read_image(path), clean) < 35


def test_the_same_seed_gives_the_same_files(demo, tmp_path, capsys):
    make_demo(tmp_path, "--kind", "sid")
    names = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()]
    assert len(names) > 50
    assert filecmp.cmpfiles(demo, tmp_path, names, shallow=False)[0] == names
    capsys.readouterr()
    make_demo(tmp_path, "--kind", "sid")
    assert "there already" in capsys.readouterr().out
    assert json.loads((tmp_path / "sid.json").read_text())["seed"] == 0


def test_rawpy_takes_the_files_by_content(demo):
    with rawpy.imread(str(demo / "Sony/short/00001_00_0.1s.ARW")) as raw:
        assert raw.raw_image_visible.shape == (448, 368)
