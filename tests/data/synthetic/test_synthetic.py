"""Synthetic raw files and scenes: what LibRaw reads back, and noise as asked for."""

from __future__ import annotations

import argparse
import filecmp
import json

import numpy as np
import pytest
import rawpy

from paddle_restore.cli import prepare_demo
from paddle_restore.data.datasets.sid import SIDEval, SIDOptions
from paddle_restore.data.image import read_image, to_float
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.data.synthetic import scenes
from paddle_restore.data.synthetic.noise import SensorNoise, add_noise, load_camera
from paddle_restore.errors import UserError
from paddle_restore.metrics import psnr
from paddle_restore.models import model_spec


def make_demo(folder, *words) -> int:
    parser = argparse.ArgumentParser()
    prepare_demo.add_arguments(parser)
    return prepare_demo.run(parser.parse_args(["--output", str(folder), *words]))


@pytest.fixture
def one_scene(monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(scenes, "SCENES", scenes.SCENES[:1])


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("demo")
    assert make_demo(folder) == 0
    return folder


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


def test_the_demo_has_an_xtrans_set_too(demo):
    options = SIDOptions(root=demo, train_list="Fuji_train_list.txt", eval_list="Fuji_test_list.txt")
    data = SIDEval(options, model_spec("sid_unet_xtrans"))
    assert [pair.group for pair in data.pairs] == ["x100", "x250", "x300"]
    picture = to_float(develop(demo / "Fuji/long/10001_00_10s.RAF"))
    photo = scenes.photograph(scenes.XTRANS_SCENES[2])
    np.testing.assert_allclose(picture.mean((0, 1)), photo.mean((0, 1)), rtol=0.03)


def test_short_exposures_are_the_long_one_divided_by_the_ratio(demo):
    long = read_raw(demo / "Sony/long/10001_00_10s.ARW").packed()
    for seconds, ratio in zip(scenes.SHORT_SECONDS, (100, 250, 300)):
        short = read_raw(demo / f"Sony/short/10001_00_{seconds}s.ARW")
        signal = short.mosaic.astype(float).mean() - 512
        # The standard error of the mean is 0.4 % at x300, most of it from the black's noise.
        assert signal * ratio / 15871 == pytest.approx(long.mean(), rel=0.015)


def test_an_exposure_clips_at_the_sensor_and_nowhere_else():
    camera = load_camera(prepare_demo.CAMERA)
    rng = np.random.default_rng(0)
    bright = np.full((64, 64), 3.0)  # three times what saturates the long exposure
    assert (camera.expose(bright, 200, rng) == 16383).all()
    assert camera.expose(bright, 200, rng, ratio=100).mean() - 512 == pytest.approx(476.1, rel=0.01)
    dark = camera.expose(np.zeros((64, 64)), 200, rng)
    assert dark.mean() == pytest.approx(512, abs=0.2)
    assert dark.min() < 512  # the black's noise is there on both sides


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


def test_pairs_show_the_same_picture_with_noise_as_real_pictures_have_it(demo):
    for split, count in (("train", 33), ("val", 10)):
        noisy = sorted((demo / "pairs" / split / "input").iterdir())
        assert len(noisy) == count
        clean = [read_image(path.parent.parent / "groundtruth" / path.name) for path in noisy]
        assert {picture.shape for picture in clean} == {(256, 256, 3)}
        quality = [psnr(read_image(a), b) for a, b in zip(noisy, clean)]
        assert min(quality) > 21
        assert max(quality) < 33
        error = np.stack([to_float(read_image(a)) - to_float(b) for a, b in zip(noisy, clean)])
        neighbours = np.corrcoef(error[:, :, 1:].ravel(), error[:, :, :-1].ravel())[0, 1]
        assert 0.35 < neighbours < 0.65  # SIDD's own: 0.41-0.47
        level = np.stack([to_float(picture) for picture in clean]).mean(-1)
        assert error[(level > 0.05) & (level < 0.25)].std() > 1.1 * error[level > 0.6].std()


def test_the_same_seed_gives_the_same_files(demo, tmp_path, capsys):
    make_demo(tmp_path)
    names = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()]
    assert len(names) > 140
    assert filecmp.cmpfiles(demo, tmp_path, names, shallow=False)[0] == names
    capsys.readouterr()
    make_demo(tmp_path)
    assert capsys.readouterr().out.count("there already") == len(scenes.KINDS)
    assert json.loads((tmp_path / "sid.json").read_text())["seed"] == 0


@pytest.mark.usefixtures("one_scene")
def test_another_seed_is_made_anew_and_differs(tmp_path):
    short = tmp_path / "Sony/short/00001_00_0.1s.ARW"
    make_demo(tmp_path, "--kind", "sid")
    before = short.read_bytes()
    make_demo(tmp_path, "--kind", "sid", "--seed", "1")
    assert short.read_bytes() != before
    assert json.loads((tmp_path / "sid.json").read_text())["seed"] == 1


@pytest.mark.usefixtures("one_scene")
def test_an_interrupted_demo_is_finished_by_the_next_run(tmp_path, monkeypatch):
    make_demo(tmp_path, "--kind", "sid")

    def interrupted(*_):
        yield ["00001"]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(scenes.KINDS, "sid", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_demo(tmp_path, "--kind", "sid", "--force")
    (tmp_path / "Sony/long/00001_00_10s.ARW").unlink()
    make_demo(tmp_path, "--kind", "sid")
    assert (tmp_path / "Sony/long/00001_00_10s.ARW").is_file()


def test_lists_of_a_real_data_set_are_left_alone(tmp_path):
    theirs = tmp_path / "Sony_train_list.txt"
    theirs.write_text("./Sony/short/00001_00_0.04s.ARW ./Sony/long/00001_00_10s.ARW ISO200 F8\n")
    with pytest.raises(UserError, match="was not made by this command"):
        make_demo(tmp_path)
    assert "0.04s" in theirs.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == [theirs.name]


def test_rawpy_takes_the_files_by_content(demo):
    with rawpy.imread(str(demo / "Sony/short/00001_00_0.1s.ARW")) as raw:
        assert raw.raw_image_visible.shape == (448, 368)
