"""Neighbor2Neighbor: sub-images of neighbours, both terms, and that it learns to denoise."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_restore import create_model
from paddle_restore.engine.objectives import build_objective
from paddle_restore.engine.objectives.neighbor2neighbor import (
    Neighbor2NeighborOptions,
    draw_neighbours,
    sub_images,
)
from paddle_restore.errors import UserError
from paddle_restore.models.spec import ModelSpec


def coordinates(side):
    """A picture whose two channels say the row and the column of each pixel."""
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    return paddle.to_tensor(np.stack([rows, columns])[None].astype(np.float32))


@pytest.mark.parametrize("spacing", [1, 2, 3])
def test_sub_images_are_neighbours_of_one_cell(spacing):
    paddle.seed(3)
    side = 12 * spacing
    picture = coordinates(side)
    first, second = sub_images(picture, draw_neighbours(picture, spacing), spacing)
    assert first.shape == second.shape == [1, 2, side // 2, side // 2]
    distance = (first - second).abs().numpy()[0]
    assert set(np.unique(distance.sum(axis=0))) == {spacing}  # along one axis, never diagonal
    assert (distance[0] > 0).any()
    assert (distance[1] > 0).any()
    taken = np.concatenate([part.numpy().reshape(2, -1).T for part in (first, second)])
    assert len(np.unique(taken, axis=0)) == len(taken)  # no pixel is in both


def test_sub_images_keep_the_pictures_layout_within_each_phase():
    picture = coordinates(16)
    first, _ = sub_images(picture, draw_neighbours(picture, 2), 2)
    rows, columns = first.numpy()[0].reshape(2, 2, 4, 2, 4)[:, 0, :, 0]
    assert (np.diff(rows, axis=0) > 0).all()
    assert (np.diff(columns, axis=1) > 0).all()
    assert (rows % 2 == 0).all()
    assert (columns % 2 == 0).all()


class Constant(paddle.nn.Layer):
    """One number for every pixel: its best value is the mean of the pictures."""

    spec = ModelSpec("net", "srgb", 1, 1, 0, "", "", "")

    def __init__(self):
        super().__init__()
        self.value = self.create_parameter([1], default_initializer=paddle.nn.initializer.Constant(0.2))

    def forward(self, x):
        return self.value + 0 * x


def test_both_terms_of_the_paper():
    paddle.seed(0)
    noisy = paddle.rand([2, 3, 16, 16])
    objective = build_objective(Neighbor2NeighborOptions(regulariser=3.0))
    losses = objective(Constant(), {"input": noisy})
    assert float(losses["loss"]) == pytest.approx(
        float(losses["reconstruction"]) + 3 * float(losses["consistency"]), rel=1e-5
    )
    # A constant has no difference between neighbours: the second term is the first.
    assert float(losses["consistency"]) == pytest.approx(float(losses["reconstruction"]), rel=1e-5)


class Filter(paddle.nn.Layer):
    """One 5x5 filter for all channels, at first the identity."""

    spec = Constant.spec

    def __init__(self):
        super().__init__()
        start = np.zeros((1, 1, 5, 5), np.float32)
        start[0, 0, 2, 2] = 1
        assign = paddle.nn.initializer.Assign(start)
        self.weight = self.create_parameter([1, 1, 5, 5], default_initializer=assign)

    def forward(self, x):
        return paddle.nn.functional.conv2d(x, self.weight.tile([3, 1, 1, 1]), padding=2, groups=3)


def test_it_learns_to_denoise_from_noisy_pictures_alone():
    paddle.seed(0)
    model, rng = Filter(), np.random.default_rng(0)
    clean = np.broadcast_to(rng.uniform(-0.2, 0.2, (2, 3, 1, 1)), (2, 3, 64, 64)).astype(np.float32)
    objective = build_objective(Neighbor2NeighborOptions())
    optimizer = paddle.optimizer.Adam(2e-2, parameters=model.parameters(), use_multi_tensor=True)

    def error():
        noisy = clean + 0.1 * rng.standard_normal(clean.shape, np.float32)
        restored = model(paddle.to_tensor(noisy)).numpy()
        return np.mean((restored - clean)[..., 2:-2, 2:-2] ** 2) / np.mean((noisy - clean) ** 2)

    assert error() == pytest.approx(1, rel=0.05)
    for _ in range(80):
        noisy = clean + 0.1 * rng.standard_normal(clean.shape, np.float32)
        objective(model, {"input": paddle.to_tensor(noisy)})["loss"].backward()
        optimizer.step()
        optimizer.clear_grad()
    assert error() < 0.3


def test_mistakes_are_one_line():
    objective = build_objective(Neighbor2NeighborOptions(spacing=2))
    model = create_model("denoise_unet", widths=(4, 4, 4, 4))
    with pytest.raises(UserError, match="multiple of 64"):
        objective(model, {"input": paddle.zeros([1, 3, 96, 96])})
    raw = create_model("sid_unet", width=4)
    with pytest.raises(UserError, match="for pictures, not sid_unet"):
        objective(raw, {"input": paddle.zeros([1, 4, 64, 64])})
