"""What long work takes is measured and said before it begins."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_restore import create_model
from paddle_restore.inference import speed
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.restorer import Restorer
from paddle_restore.inference.speed import Clock, duration_text, seconds_per_pixel
from paddle_restore.inference.tiling import Tiling
from paddle_restore.models.spec import ModelSpec
from paddle_restore.shipped import PICTURES, RAW, shipped_folder

SPEC = ModelSpec(id="copy", input="srgb", multiple=8, halo=8, scale=1, paper="", repository="", licence="")


class Counting:
    """A network that returns its input and counts the pixels that it gets."""

    pixels = 0

    def __call__(self, array):
        self.pixels += array.shape[0] * array.shape[2] * array.shape[3]
        return array.copy()


@pytest.mark.parametrize("tile", ["none", 48])
@pytest.mark.parametrize("ensemble", [False, True])
@pytest.mark.parametrize("size", [(64, 96), (61, 90), (100, 130)])
def test_work_is_what_the_network_gets(tile, ensemble, size):
    network = Counting()
    forward = Forward(network, SPEC, Averaging(ensemble), Tiling(tile))
    forward.run([NetworkInput(np.zeros((3, *size), np.float32), "srgb")])
    assert forward.work(*size) == network.pixels


def test_the_speed_is_measured_on_a_small_window():
    network = Counting()
    assert seconds_per_pixel(Forward(network, SPEC)) > 0
    assert network.pixels == 2 * 128**2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 second"), (99, "99 seconds"), (100, "2 minutes"), (480, "8 minutes"), (7200, "2 hours")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_long_work_is_said_once_and_before(monkeypatch, capsys):
    monkeypatch.setattr(speed, "seconds_per_pixel", lambda forward: 3.5e-5)
    forward = Forward(Counting(), SPEC)
    clock = Clock(lambda input: forward)
    clock.start(3)
    large = NetworkInput(np.zeros((3, 3000, 4000), np.float32), "srgb")
    clock.begin("a.jpg", [large])
    said = capsys.readouterr().out
    assert said == (
        "note: a.jpg (4000x3000 pixels), the first of 3 files, will take copy about 8 minutes "
        "on this machine\n"
    )
    assert clock.title == "a.jpg (1 of 3)"
    clock.end(1)
    clock.begin("b.jpg", [large])
    assert capsys.readouterr().out == ""
    assert clock.title.startswith("b.jpg (2 of 3, ")
    assert clock.title.endswith(" left)")


def test_short_work_is_not_measured(monkeypatch, capsys):
    monkeypatch.setattr(speed, "seconds_per_pixel", lambda forward: pytest.fail("measured"))
    forward = Forward(Counting(), SPEC)
    clock = Clock(lambda input: forward)
    clock.start(1)
    clock.begin("a.jpg", [NetworkInput(np.zeros((3, 500, 500), np.float32), "srgb")])
    clock.end(1)
    assert (capsys.readouterr().out, clock.title) == ("", "a.jpg")


@pytest.mark.parametrize("id", [PICTURES, RAW])
def test_the_shipped_networks_can_be_measured(shipped, id):
    """The one for raw files gives mosaics and takes their noise into account."""
    assert 0 < seconds_per_pixel(Restorer(shipped_folder(id)).forward) < 1e-2


@pytest.mark.parametrize("id", ["invdn", "sid_unet", "lamba"])
def test_other_kinds_of_network_can_be_measured(id):
    arguments = {"invdn": {"width": 8, "blocks": 1}, "sid_unet": {"width": 4}, "lamba": {}}[id]
    model = create_model(id, **arguments)
    assert seconds_per_pixel(Forward(EagerNetwork(model), model.spec)) > 0
