"""Tiles: the same picture as in one piece, whatever the size, the flips, the noise and the batches."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_restore import create_model
from paddle_restore.data.mosaic import RawImage, unpacked
from paddle_restore.errors import UserError
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.inputs import NetworkInput, noise_window
from paddle_restore.inference.tiling import Tiling, largest_side, plan
from paddle_restore.models import list_models, model_spec
from paddle_restore.models.spec import Latent, ModelSpec

SMALL = {
    "sid_unet": {"width": 4},
    "sid_unet_xtrans": {"width": 4},
    "lamba": {},
    "mirnet_v2": {"width": 8, "groups": [1]},
    "invdn": {},
}


def spec_of(**changes) -> ModelSpec:
    values = {"input": "srgb", "scale": 1, "multiple": 4, "halo": 5, "memory": 1000}
    return ModelSpec(id="x", paper="", repository="", licence="", **{**values, **changes})


def blur(batch: np.ndarray) -> np.ndarray:
    """A "network" that looks five pixels far in every direction, and no farther."""
    padded = np.pad(batch, ((0, 0), (0, 0), (5, 5), (5, 5)))
    height, width = batch.shape[2:]
    shifted = [
        padded[:, :, y : y + height, x : x + width] for y, x in ((0, 0), (0, 10), (10, 0), (10, 10), (5, 5))
    ]
    return np.mean(shifted, axis=0)


@pytest.mark.parametrize("size", [(40, 40), (41, 67), (129, 50), (12, 90)])
@pytest.mark.parametrize("side", [16, 24, 60])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiles_are_the_whole(size, side, batch_size):
    spec = spec_of()
    frame = np.random.default_rng(0).random((3, *size), np.float32)
    whole = Forward(blur, spec, tiling=Tiling("none")).run([NetworkInput(frame, "srgb")])[0]
    tiled = Forward(blur, spec, tiling=Tiling(side), batch_size=batch_size)
    np.testing.assert_allclose(tiled.run([NetworkInput(frame, "srgb")])[0], whole, atol=1e-6)
    if side < max(size):
        assert tiled.count(NetworkInput(frame, "srgb")) > 1


def test_a_halo_that_is_too_small_shows():
    """The test above can fail: a network that looks farther than its spec says has seams."""
    frame = np.random.default_rng(0).random((3, 64, 64), np.float32)
    outputs = [
        Forward(blur, spec_of(halo=3), tiling=Tiling(side)).run([NetworkInput(frame, "srgb")])[0]
        for side in (24, "none")
    ]
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01


@pytest.mark.parametrize("halo", [5, "global"])
@pytest.mark.parametrize("length", [16, 20, 64, 100, 1000])
@pytest.mark.parametrize("side", [16, 28, 64, 256])
def test_windows_cover_the_frame_once(halo, length, side):
    spec = spec_of(halo=halo)
    for axis in plan(spec, length, length + 3, Tiling(side)):
        total = np.zeros(max(tile.high for tile in axis))
        assert len({tile.size for tile in axis}) == 1
        for tile in axis:
            assert tile.start % spec.multiple == 0
            assert tile.start <= tile.low < tile.high <= tile.start + tile.size
            total[tile.low : tile.high] += tile.weight
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert len(total) in (length, -(-(length + 3) // 4) * 4)


def test_auto_keeps_to_its_budget():
    spec = spec_of(memory=1_000)
    rows, columns = plan(spec, 3000, 4000, Tiling("auto", budget=0.5))
    assert rows[0].size * columns[0].size * 1_000 <= 0.5e9
    assert len(rows) * len(columns) <= 40
    rows, columns = plan(spec, 300, 400, Tiling("auto", budget=2))
    assert (rows[0].size, columns[0].size) == (300, 400)


@pytest.mark.parametrize(("memory", "expected"), [(0, 224), (1000, 60)])
@pytest.mark.parametrize(("kind", "factor"), [("srgb", 1), ("bayer", 2)])
def test_the_largest_side_is_the_one_that_auto_takes(memory, expected, kind, factor):
    """In the picture's pixels. Of a frame that needs too many windows `auto` takes the square that fits."""
    spec = spec_of(memory=memory, input=kind, halo="global")
    rows, columns = plan(spec, 20_000, 20_000, Tiling("auto", budget=3.6e-3))
    assert rows[0].size == columns[0].size == expected
    assert largest_side(spec, 3.6e-3) == expected * factor
    # Never below what `auto` takes whatever the budget: four multiples.
    assert largest_side(spec, 1e-9) == (16 if memory else 224) * factor


@pytest.mark.parametrize("memory", [0, 100_000])
@pytest.mark.parametrize("halo", [0, 128, 576, "global"])
def test_auto_keeps_a_third_of_each_window(halo, memory):
    """Whatever the budget: windows of context alone would take days for a large frame."""
    spec = spec_of(memory=memory, halo=halo, multiple=32)
    rows, columns = plan(spec, 8660, 11548, Tiling("auto"))
    work = len(rows) * rows[0].size * len(columns) * columns[0].size
    assert work < 12 * 8660 * 11548


@pytest.mark.parametrize("id", list(SMALL))
def test_networks_in_tiles(id):
    """The real networks: the same within 1e-4 where nothing is pooled over the frame."""
    paddle.seed(0)
    spec = model_spec(id)
    network = EagerNetwork(create_model(id, **SMALL[id]))
    unit = spec.multiple
    halo = 16 if spec.halo == "global" else spec.halo
    # The frame is long and narrow, to be cheap: a tile and a half beyond two halos.
    sides = (unit * 2 - 1, 2 * halo + 4 * unit + 3)
    frame = np.random.default_rng(0).random((spec.in_channels, *sides), np.float32)
    if id == "sid_unet_xtrans":
        frame = frame[:, : sides[0] // 2 * 2, : sides[1] // 2 * 2]
    source = NetworkInput(unpacked(frame) if spec.raw else frame, spec.input)
    factor = {"srgb": 1, "mosaic": 1, "bayer": 2, "xtrans": 3}[spec.input]
    tile = (2 * halo + 2 * unit) * factor
    whole = Forward(network, spec, tiling=Tiling("none")).run([source])[0]
    forward = Forward(network, spec, tiling=Tiling(tile))
    assert forward.count(source) > 1
    difference = np.abs(forward.run([source])[0] - whole).max()
    if spec.halo == "global":
        assert 0 < difference < 0.2
    else:
        assert difference < 1e-4


def test_every_network_says_what_it_needs():
    for id in list_models():
        assert model_spec(id).memory > 0, id


def test_the_self_ensemble_in_tiles():
    frame = np.random.default_rng(0).random((3, 45, 70), np.float32)
    outputs = [
        Forward(blur, spec_of(), Averaging(self_ensemble=True), Tiling(side)).run(
            [NetworkInput(frame, "srgb")]
        )[0]
        for side in (20, "none")
    ]
    np.testing.assert_allclose(*outputs, atol=1e-6)


def test_integers_are_the_rounded_floats():
    frame = np.random.default_rng(0).random((3, 45, 70), np.float32)
    for averaging in (Averaging(), Averaging(self_ensemble=True)):
        forward = Forward(blur, spec_of(), averaging, Tiling(24))
        exact = forward.run([NetworkInput(frame, "srgb")])[0]
        for depth, dtype in ((8, np.uint8), (16, np.uint16)):
            rounded = forward.run([NetworkInput(frame, "srgb")], depth)[0]
            assert rounded.dtype == dtype
            np.testing.assert_array_equal(rounded, np.rint(exact * (2**depth - 1)))


def test_several_frames_in_batches_are_those_frames():
    rng = np.random.default_rng(0)
    frames = [rng.random((3, *size), np.float32) for size in ((20, 24), (20, 24), (40, 16), (20, 24))]
    seen = []

    def network(batch):
        seen.append(len(batch))
        return blur(batch)

    together = Forward(network, spec_of(), tiling=Tiling("none"), batch_size=4).run(
        [NetworkInput(f, "srgb") for f in frames]
    )
    assert seen == [2, 1, 1]
    for frame, output in zip(frames, together):
        alone = Forward(blur, spec_of(), tiling=Tiling("none")).run([NetworkInput(frame, "srgb")])[0]
        np.testing.assert_array_equal(output, alone)


def test_noise_windows_come_from_one_field():
    latent = Latent(channels=2, stride=4)
    whole = noise_window(latent, (0, 1), 0, 0, 400, 800)
    part = noise_window(latent, (0, 1), 120, 240, 200, 360)
    np.testing.assert_array_equal(part, whole[:, 30:80, 60:150])
    assert abs(float(whole.mean())) < 0.02
    assert abs(float(whole.std()) - 1) < 0.02
    assert np.abs(noise_window(latent, (0, 2), 0, 0, 400, 800) - whole).max() > 1


def test_a_tile_that_is_all_context_is_refused():
    with pytest.raises(UserError, match=r"--tile 200: sid_unet looks so far .* at least 480 pixels"):
        plan(model_spec("sid_unet"), 1000, 1000, Tiling(200))


def test_a_raw_frame_is_read_window_by_window():
    """What a 12-bit mosaic becomes in tiles is what it becomes whole: levels, ratio and phase."""
    rng = np.random.default_rng(0)
    raw = RawImage(rng.integers(60, 1023, (121, 203)).astype(np.uint16), "GBRG", (60, 61, 62, 63), 1023)

    def cells(batch):
        red, green, blue, _ = (plane.repeat(2, 1).repeat(2, 2) for plane in batch.transpose(1, 0, 2, 3))
        return np.stack([red, green, blue], 1)

    spec = spec_of(input="bayer", scale=2, halo=0)
    outputs = [
        Forward(cells, spec, tiling=Tiling(side)).run([NetworkInput(raw, "bayer", 2.5)])[0]
        for side in (32, "none")
    ]
    assert outputs[0].shape == (3, 121, 203)
    np.testing.assert_array_equal(*outputs)
