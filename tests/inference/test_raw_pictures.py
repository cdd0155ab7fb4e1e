"""What becomes of a raw file around its network: exposure, other cameras, overexposed parts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from paddle_restore.cli.main import main
from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.exposure import auto_exposure
from paddle_restore.data.raw import read_raw
from paddle_restore.data.synthetic.dng import write_dng
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.restorer import Restorer
from paddle_restore.models import model_spec
from paddle_restore.models.published import SONY
from paddle_restore.models.registry import training_camera
from paddle_restore.serving.example import dark_raw
from paddle_restore.shipped import RAW, is_shipped

PINK = np.float32([1.0, 0.6, 0.8])
D850 = (1.0405, -0.3755, -0.1270, -0.5461, 1.3787, 0.1793, -0.1040, 0.2015, 0.6785)  # Adobe's, of LibRaw


class Pink:
    """A network that gives pink, and keeps what it got."""

    def __init__(self, scale: int):
        self.scale, self.inputs = scale, []

    def __call__(self, batch):
        self.inputs.append(batch)
        count, _, height, width = batch.shape
        shape = (count, 3, height * self.scale, width * self.scale)
        return np.broadcast_to(PINK[None, :, None, None], shape).copy()


def pink(id: str, **preprocess) -> Restorer:
    spec = model_spec(id)
    return Restorer.of(Forward(Pink(spec.scale), spec), Preprocess(**preprocess))


def chart(path, **fields) -> None:
    """Grey of a D850's colours, and a saturated patch."""
    shot = np.array([1.6, 1.0, 1.77])
    light = np.full((96, 128, 3), 0.02) / shot
    values = np.empty((96, 128))
    values[::2, ::2], values[1::2, 1::2] = light[::2, ::2, 0], light[1::2, 1::2, 2]
    values[::2, 1::2] = values[1::2, ::2] = light[0, 0, 1]
    mosaic = np.rint(values * 15871 + 512)
    mosaic[32:40, 40:48] = 16383
    fields = {"black_level": 512, "white_level": 16383, "white_balance": shot, "color_matrix": D850, **fields}
    write_dng(path, mosaic.astype(np.uint16), **fields)


@pytest.mark.parametrize("id", ["sid_unet", "lamba"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_saturated_parts_are_white_and_the_rest_is_the_networks(tmp_path, id, orientation):
    chart(tmp_path / "a.dng", orientation=orientation)
    picture = pink(id)(tmp_path / "a.dng", ratio=4.0)
    picture = np.rot90(picture, 1) if orientation == 6 else picture
    assert (picture[34:38, 42:46] == 1).all()
    np.testing.assert_allclose(picture[60:, 60:], np.broadcast_to(PINK, picture[60:, 60:].shape), atol=1e-6)


def test_lambas_network_gets_what_is_above_white_and_sids_picture_is_white_there(tmp_path):
    chart(tmp_path / "a.dng")
    for id, expected in (("sid_unet", 1.0), ("lamba", PINK)):
        picture = pink(id)(tmp_path / "a.dng", ratio=200.0)  # grey of 0.02 comes to 4
        np.testing.assert_allclose(picture[60:90, 60:90], np.broadcast_to(expected, (30, 30, 3)), atol=1e-6)


def test_networks_get_grey_in_the_proportions_of_their_camera(tmp_path):
    chart(tmp_path / "a.dng")
    camera = {"white_balance": SONY.white_balance, "daylight": SONY.daylight}
    for preprocess, expected in ((camera, SONY.white_balance), ({}, (1.6, 1.0, 1.77))):
        restorer = pink("sid_unet", **preprocess)
        restorer(tmp_path / "a.dng", ratio=10.0)
        red, green, blue, _ = restorer.forward.network.inputs[0][0, :, 40:, 40:].mean((1, 2))
        np.testing.assert_allclose([green / red, green / blue], np.array(expected)[[0, 2]], rtol=0.02)


def test_ids_know_the_camera_of_their_published_weights():
    assert training_camera("sid_unet") == training_camera("lamba") == SONY
    assert training_camera("mirnet") is None


def test_lamba_estimates_and_others_expose(tmp_path):
    chart(tmp_path / "a.dng")
    raw = read_raw(tmp_path / "a.dng")
    exposure = auto_exposure(raw)
    assert pink("sid_unet").read(raw).ratio == exposure
    assert pink("sid_unet", max_ratio=2).read(raw).ratio == 2
    estimated = pink("lamba").read(raw).ratio
    assert estimated != pytest.approx(exposure, rel=0.1)
    assert pink("sid_unet", ratio="auto").read(raw).ratio == pytest.approx(estimated)


def test_official_weights_give_grey_of_two_sensors_as_grey(shared, tmp_path, capsys):
    """The same chart by sensors whose multipliers differ by 1.9 in red; it was magenta by the second."""
    files = shared / "cases/files/other_camera_colours"
    words = ("--model", "lamba", "--weights", shared / "weights/lamba_official.pth", "--ratio", 50)
    names = files / "like_sony.dng", files / "other.dng"
    with pytest.raises(SystemExit) as end:
        main("restore", [*map(str, (*names, *words, "--depth", 8, "--output", tmp_path))])
    assert end.value.code == 0
    assert len(re.findall(r"ratio: 50\.0", capsys.readouterr().out)) == 2
    import cv2

    patches = [cv2.imread(str(tmp_path / f"{name.stem}.png"))[100:130, 60:90].mean((0, 1)) for name in names]
    for blue, green, red in patches:
        assert abs(red - green) < 5
        assert abs(blue - green) < 12
    np.testing.assert_allclose(patches[0], patches[1], atol=4)


def test_the_pages_example_comes_out_brighter_than_before(tmp_path):
    """Than "before" of the same ratio, and than by Lamba's estimate, which it got once."""
    if not is_shipped(RAW):
        pytest.skip(f"the weights of {RAW} are missing")
    (tmp_path / "a.dng").write_bytes(dark_raw())
    restorer = Restorer()
    before = restorer.read(tmp_path / "a.dng")
    after = restorer(tmp_path / "a.dng")
    assert after.mean() > before.preview().mean() / 255
    raw = read_raw(tmp_path / "a.dng")
    assert after.mean() > 1.5 * restorer(tmp_path / "a.dng", ratio=estimate_ratio(*raw.histogram())).mean()
    assert 0.2 < after.mean() < 0.6
