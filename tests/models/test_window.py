"""Averages over a window: what they are, and that tiles of a network with them fit together."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_restore import create_model
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import open_network
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.export import export
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.package import Preprocess
from paddle_restore.inference.tiling import Tiling
from paddle_restore.models import MODELS, small_arguments
from paddle_restore.models.layers import Averages

from .golden import tensor
from .small import small_model

NETWORKS = [id for id, model in MODELS.items() if model.spec.halo == "global"]


def with_window(id: str, window: int):
    """Return the small network `id` twice: averages over the whole picture, and over a window."""
    model = small_model(id)
    local = create_model(id, **small_arguments(id), window=window)
    local.set_state_dict(model.state_dict())
    model.eval()
    local.eval()
    return model, local


def window_mean(x, side):
    """Means over windows of `side` cells along the last axis, odd `side`, shifted into the picture."""
    count = x.shape[-1]
    side = min(side, count)
    starts = np.clip(np.arange(count) - side // 2, 0, count - side)
    return np.stack([x[..., start : start + side].mean(-1) for start in starts], axis=-1)


@pytest.mark.parametrize(("level", "shape"), [(0, (80, 112)), (2, (24, 16)), (4, (9, 3))])
def test_averages_are_means_over_shifted_windows(level, shape):
    averages = Averages(window=80, level=level)  # five cells of 16 input pixels
    x = tensor("x", (2, 3, *shape))
    cell = 16 >> level
    cells = x.numpy().reshape(2, 3, shape[0] // cell, cell, shape[1] // cell, cell).mean((3, 5))
    expected = window_mean(window_mean(cells, 5).swapaxes(2, 3), 5).swapaxes(2, 3)
    np.testing.assert_allclose(averages(x).numpy(), expected, atol=1e-6)


def test_an_even_window_takes_half_of_its_outermost_cells():
    cells = tensor("x", (1, 1, 8, 1)).numpy()
    averages = Averages(window=64, level=4)(paddle.to_tensor(cells)).numpy().ravel()
    c = cells.ravel()
    assert averages[3] == pytest.approx((c[1] / 2 + c[2] + c[3] + c[4] + c[5] / 2) / 4)
    assert averages[0] == averages[1] == pytest.approx(c[:4].mean())


def test_averages_are_interpolated_between_the_centres_of_cells():
    averages = Averages(window=80, level=2)
    y = tensor("y", (1, 2, 3, 5))
    spread = averages.spread(y).numpy()
    assert spread.shape == (1, 2, 12, 20)
    expected = paddle.nn.functional.interpolate(y, scale_factor=4, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(spread, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("id", NETWORKS)
def test_a_picture_within_the_window_is_averaged_as_a_whole(id):
    model, local = with_window(id, window=96)
    with paddle.no_grad():
        for size, close in (((64, 96), True), ((112, 128), False)):
            x = tensor("x", (2, 3, *size))
            difference = (model(x) - local(x)).abs().max().item()
            assert (difference < 1e-5) == close


@pytest.mark.parametrize("id", NETWORKS)
def test_tiles_fit_together(id):
    model, local = with_window(id, window=32)
    assert (local.spec.halo, local.spec.multiple) == (32, 16)
    assert local.spec.id == id
    # Brightness changes across the picture, so that the averages of tiles differ.
    frame = np.random.default_rng(0).random((3, 48, 240), np.float32) * np.linspace(0, 1, 240, dtype="f")
    differences = []
    for network in (model, local):
        outputs = []
        for tile in (96, "none"):
            forward = Forward(EagerNetwork(network), network.spec, tiling=Tiling(tile))
            outputs.append(forward.run([NetworkInput(frame, "srgb")])[0])
        differences.append(np.abs(outputs[0] - outputs[1]).max())
    assert differences[1] < 1e-3
    assert differences[1] < differences[0] / 10


@pytest.mark.slow
@pytest.mark.parametrize("id", ["mirnet_v2_small", "nafnet"])
def test_backends_give_the_networks_numbers(id, tmp_path):
    for library in ("paddle2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(library)
    _, local = with_window(id, window=48)
    export(local, tmp_path / "inference", id, Preprocess(), format="all")
    x = tensor("x", (2, 3, 96, 128)).numpy()
    expected = EagerNetwork(local)(x)
    for backend in ("paddle", "onnx"):
        np.testing.assert_allclose(open_network(tmp_path / "inference", backend)(x), expected, atol=1e-4)


def test_a_window_below_two_cells_is_refused():
    with pytest.raises(UserError, match="window must be 32 pixels or more, not 16"):
        create_model("nafnet", window=16)
