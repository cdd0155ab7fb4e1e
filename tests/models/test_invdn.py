"""InvDN, beyond the alignment with its authors' values: its latent and its exact inverse."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from skimage.io import imread

from paddle_restore import create_model

from .golden import GOLDEN, aligned_model, parameters, tensor


@pytest.fixture(scope="module")
def trained():
    return aligned_model("invdn")


def test_published_size():
    assert parameters(create_model("invdn")) == 2_641_200 - 240  # the constants of the wavelets


def test_the_latent_is_the_authors(trained):
    expected = np.load(GOLDEN / "invdn.npz")["forward"]
    latent = trained.encode(tensor("invdn/input", (1, 3, 64, 96))).numpy()
    np.testing.assert_allclose(latent, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("size", [(8, 12), (64, 96)])
def test_decode_is_the_inverse_of_encode(trained, size):
    model = create_model("invdn", width=16)
    for network in (trained, model):
        x = tensor("x", (2, 3, *size))
        with paddle.no_grad():
            latent = network.encode(x)
            assert latent.shape == [2, 48, size[0] // 4, size[1] // 4]
            assert (network.decode(latent) - x).abs().max().item() < 1e-5
            assert (network.encode(network.decode(latent)) - latent).abs().max().item() < 1e-5


def test_real_pictures_come_back(trained, shared):
    picture = imread(sorted((shared / "data" / "sidd_mini").rglob("*.PNG"))[0])[:128, :128]
    x = paddle.to_tensor(picture.astype(np.float32).transpose(2, 0, 1)[None] / 255)
    with paddle.no_grad():
        assert (trained.decode(trained.encode(x)) - x).abs().max().item() < 1e-5


def test_log_determinant_is_the_jacobians():
    paddle.seed(0)
    model = create_model("invdn", width=3, blocks=2)
    x = tensor("x", (1, 3, 4, 4))
    x.stop_gradient = False
    latent = model.encode(x).flatten()
    rows = [paddle.grad(value, x, retain_graph=True)[0].numpy().ravel() for value in latent]
    _, expected = np.linalg.slogdet(np.stack(rows).astype(np.float64))
    assert model.log_determinant(x).item() == pytest.approx(expected, rel=1e-5)
    twice = paddle.concat([x, x])
    assert model.log_determinant(twice).item() == pytest.approx(expected, rel=1e-5)


def test_haar_orders_averages_first():
    haar = create_model("invdn", width=1, blocks=1).haar[0]
    x = tensor("x", (1, 3, 2, 2)).numpy()[0]
    a, b, c, d = x[:, 0, 0], x[:, 0, 1], x[:, 1, 0], x[:, 1, 1]
    expected = np.concatenate([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]) / 4
    np.testing.assert_allclose(haar(paddle.to_tensor(x[None])).numpy().ravel(), expected, atol=1e-6)


def test_the_same_seed_draws_the_same_noise():
    model = create_model("invdn", width=2, blocks=1)
    x = tensor("x", (1, 3, 16, 24))
    with paddle.no_grad():
        paddle.seed(3)
        first = model(x).numpy()
        second = model(x).numpy()
        paddle.seed(3)
        np.testing.assert_array_equal(model(x).numpy(), first)
    assert np.abs(second - first).max() > 1e-3


def test_export_that_draws_its_noise(tmp_path):
    model = create_model("invdn", width=2, blocks=1)
    model.eval()
    spec = [paddle.static.InputSpec([None, 3, None, None], name="x")]
    paddle.jit.save(paddle.jit.to_static(model, input_spec=spec), str(tmp_path / "model"))
    exported = paddle.jit.load(str(tmp_path / "model"))
    for size in [(8, 12), (16, 8)]:
        x = tensor("x", (2, 3, *size))
        y = exported(x)
        assert y.shape == x.shape
        # The low-resolution picture stays whatever the noise.
        low = [model.encode(z)[:, :3].numpy() for z in (x, y)]
        np.testing.assert_allclose(*low, atol=1e-4)
        assert (exported(x) - y).abs().max().item() > 1e-3


def test_first_weights_are_pytorchs_default():
    paddle.seed(0)
    for name, layer in create_model("invdn").named_sublayers():
        if not isinstance(layer, paddle.nn.Conv2D):
            continue
        bound = np.prod(layer.weight.shape[1:]) ** -0.5
        for values in (layer.weight.numpy(), layer.bias.numpy()):
            assert np.abs(values).max() <= bound, name
            if values.size >= 64:
                tolerance = 4 / values.size**0.5
                assert values.std() == pytest.approx(bound / 3**0.5, rel=tolerance), name
                assert abs(values.mean()) < tolerance * bound, name
