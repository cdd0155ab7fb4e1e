"""Raw files that are restored as pictures, whose pixels are not square, or whose levels are given."""

from __future__ import annotations

import numpy as np
import pytest
import rawpy

from paddle_restore.data.image import read_image, read_with_form
from paddle_restore.data.raw import develop_picture
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.errors import UserError
from paddle_restore.inference.files import FileOptions, Kinds, find_tasks
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.restorer import Restorer
from paddle_restore.inference.tiling import Tiling
from paddle_restore.models.spec import ModelSpec
from tests.cli.test_restore import run
from tests.data.test_raw_kinds import write_linear

PICTURES = ModelSpec("pictures", "srgb", 1, 1, 1, "p", "r", "l")
SENSOR = ModelSpec("sensor", "bayer", 1, 2, 1, "p", "r", "l", output="mosaic")
DEVELOPER = ModelSpec("developer", "bayer", 2, 2, 1, "p", "r", "l")


def same(batch: np.ndarray) -> np.ndarray:
    return batch


def doubled(batch: np.ndarray) -> np.ndarray:
    """A network that develops: red, green and blue of each cell, four times."""
    return batch[:, :3].repeat(2, 2).repeat(2, 3)


def restorer(spec: ModelSpec, network=same) -> Restorer:
    return Restorer.of(Forward(network, spec, Averaging(), Tiling("none")), Preprocess())


@pytest.mark.parametrize("shape", [(60, 80, 3), (60, 80)], ids=["linear", "monochrome"])
def test_a_raw_file_without_a_mosaic_goes_to_the_network_for_pictures(tmp_path, shape):
    light = np.random.default_rng(0).random(shape)
    write_linear(tmp_path / "a.dng", np.rint(light * 65535).astype(np.uint16), orientation=6)
    both = restorer(PICTURES)
    both.raw = restorer(SENSOR)
    both.save(tmp_path / "a.dng", tmp_path / "a.png")
    expected = develop_picture(tmp_path / "a.dng")
    picture, form = read_with_form(tmp_path / "a.png")
    assert (form.depth, form.grey) == (16, len(shape) == 2)
    assert picture.shape == (80, 60, 3)
    np.testing.assert_array_equal(picture[..., 0] if form.grey else picture, expected)
    with pytest.raises(UserError, match="give it to a network for pictures"):
        restorer(SENSOR)(tmp_path / "a.dng")


def test_a_folder_of_both_kinds_gets_their_formats(tmp_path):
    write_linear(tmp_path / "phone.dng", np.zeros((60, 80, 3), np.uint16))
    write_dng(tmp_path / "camera.dng", np.full((32, 32), 600, np.uint16))
    kinds = Kinds(pictures=True, raw=True, dng=True)
    tasks = find_tasks(FileOptions([tmp_path], tmp_path / "out"), kinds)
    assert [task.output.name for task in tasks] == ["camera.dng", "phone.png"]
    with pytest.raises(UserError, match="without a mosaic, and only a mosaic can become a DNG"):
        find_tasks(FileOptions([tmp_path / "phone.dng"], tmp_path / "b.dng"), kinds)


@pytest.mark.parametrize("spec", [DEVELOPER, SENSOR], ids=["developed by the network", "by LibRaw"])
def test_pixels_become_square(shared, tmp_path, spec):
    """320x240 pixels of half their width: 320x480, as LibRaw makes it."""
    path = shared / "cases/files/non_square_pixels/scale_1x2.dng"
    opened = restorer(spec, doubled if spec is DEVELOPER else same)
    source = opened.read(path, 1.0)
    assert opened.run([source])[0].picture.shape == (480, 320, 3)
    assert source.preview().shape == (480, 320, 3)
    if spec is SENSOR:
        opened.save(path, tmp_path / "a.dng")
        with rawpy.imread(str(tmp_path / "a.dng")) as raw:
            assert raw.sizes.pixel_aspect == 0.5
            assert raw.postprocess().shape == (480, 320, 3)


@pytest.mark.parametrize("model", [(), ("--model", "denoise_raw")], ids=["default", "by id"])
def test_levels_may_be_given(tmp_path, model):
    """A file that says nothing of its black level comes out as one that does."""
    light = np.kron(np.random.default_rng(0).random((4, 5)), np.ones((16, 16)))
    mosaic = np.rint(512 + light * 3000).astype(np.uint16)
    write_dng(tmp_path / "right.dng", mosaic, black_level=512, white_level=4095)
    write_dng(tmp_path / "wrong.dng", mosaic, black_level=0, white_level=16383)
    given = ("--black_level", "512", "--white_level", "4095")
    for name, words in (("right", ()), ("wrong", given)):
        run("restore", tmp_path / f"{name}.dng", "--output", tmp_path / f"{name}.png", *model, *words)
    right, wrong = (read_image(tmp_path / name).astype(float) for name in ("right.png", "wrong.png"))
    assert np.abs(right - wrong).mean() < 65535 / 500
    run("restore", tmp_path / "right.dng", "--output", tmp_path / "x.png", "--black_level", "nan", code=2)
