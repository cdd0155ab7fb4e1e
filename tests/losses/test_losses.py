"""Losses against the values of the authors' code."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest

from paddle_restore.errors import UserError
from paddle_restore.losses import LOSSES, build_losses
from tests.conftest import GOLDEN


@pytest.fixture(scope="module")
def pair():
    arrays = np.load(GOLDEN / "loss_inputs.npz")
    return tuple(paddle.to_tensor(arrays[name].astype(np.float32)) for name in ("pred", "target"))


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "functions.json").read_text())["losses"]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("l1", lambda g: g["l1"]),
        ("charbonnier", lambda g: g["charbonnier_eps1e-3"]),
        ("ssim", lambda g: 1 - g["ssim_gauss11_data_range1"]),
        ("ms_ssim", lambda g: 1 - g["ms_ssim_data_range1"]),
        ("l2_sum", lambda g: g["invdn_reconstruction_l2"]),
        ("l1_sum", lambda g: g["invdn_reconstruction_l1_eps1e-3"]),
        ("gradient", lambda g: g["invdn_gradient"]),
        ("invdn_ssim", lambda g: g["invdn_ssim_mean"]),
    ],
)
def test_losses_give_the_authors_values(pair, golden, name, reference):
    assert LOSSES[name](*pair).item() == pytest.approx(reference(golden), rel=5e-5)


def test_lambas_weighted_sum_is_the_authors(pair, golden):
    values = build_losses({"l1": 1.0, "ms_ssim": 0.2})(*pair)
    assert set(values) == {"l1", "ms_ssim", "loss"}
    assert values["loss"].item() == pytest.approx(golden["lamba_total"], rel=1e-5)
    assert values["l1"].item() == pytest.approx(golden["l1"], rel=1e-5)


def test_psnr_is_negative_decibels_averaged_over_the_pictures(pair):
    pred, target = (tensor.numpy().astype(np.float64) for tensor in pair)
    squares = ((pred - target) ** 2).mean(axis=(1, 2, 3))
    assert squares[0] != pytest.approx(squares[1], rel=1e-3)
    assert LOSSES["psnr"](*pair).item() == pytest.approx(np.mean(10 * np.log10(squares + 1e-8)), rel=1e-5)
    assert LOSSES["psnr"](pair[0], pair[0]).item() == pytest.approx(-80, rel=1e-5)


def test_clipped_charbonnier_ignores_values_outside_the_range():
    target = paddle.zeros([1, 3, 4, 4])
    pred = target - 2.0
    assert LOSSES["charbonnier_clipped"](pred, target).item() == pytest.approx(1e-3)
    assert LOSSES["charbonnier"](pred, target).item() == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_lowest_for_equal_pictures_and_falls_along_its_gradient(name):
    rng = np.random.default_rng(0)
    target = paddle.to_tensor(rng.random((1, 3, 163, 170), dtype=np.float32))
    pred = paddle.to_tensor(1 - target.numpy(), stop_gradient=False)  # its structure is opposite
    value = LOSSES[name](pred, target)
    value.backward()
    slope = pred.grad
    assert bool(paddle.isfinite(slope).all())
    equal = LOSSES[name](target, target).item()
    assert equal < value.item()
    if name != "ms_ssim":  # which is flat where all factors are negative
        better = LOSSES[name](pred.detach() - 1e-3 * slope / slope.abs().max(), target)
        assert better.item() < value.item()


def test_ms_ssim_halves_odd_sizes_and_falls_along_its_gradient():
    rng = np.random.default_rng(1)
    target = paddle.to_tensor(rng.random((2, 1, 161, 175), dtype=np.float32))
    pred = (0.7 * target + 0.3 * paddle.to_tensor(rng.random(target.shape, dtype=np.float32))).detach()
    pred.stop_gradient = False
    value = LOSSES["ms_ssim"](pred, target)
    value.backward()
    better = LOSSES["ms_ssim"](pred.detach() - 1e-2 * pred.grad / pred.grad.abs().max(), target)
    assert 0 < better.item() < value.item() < 1


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="did you mean 'charbonnier'"):
        build_losses({"charbonier": 1.0})
    with pytest.raises(UserError, match="no loss"):
        build_losses({})
    small = paddle.zeros([1, 3, 160, 200])
    with pytest.raises(UserError, match="at least 161x161, not 200x160"):
        build_losses({"ms_ssim": 1.0})(small, small)
    with pytest.raises(UserError, match="11x11"):
        LOSSES["ssim"](small[:, :, :10], small[:, :, :10])


def test_a_loss_that_is_no_number_is_named(monkeypatch):
    list(LOSSES)  # ours are loaded
    monkeypatch.setitem(LOSSES._parts, "pixels", lambda pred, target: (pred - target).abs())
    pictures = paddle.zeros([2, 3, 8, 8])
    with pytest.raises(UserError, match=r"'pixels' returns the shape \[2, 3, 8, 8\]"):
        build_losses({"pixels": 1.0})(pictures, pictures)
