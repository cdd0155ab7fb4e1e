"""NIQE against the numbers of OpenMMLab's code, which follows the authors' MATLAB."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import scipy.io

from paddle_restore.data.niqe_parameters import read_niqe_parameters
from paddle_restore.data.resize import imresize
from paddle_restore.errors import UserError
from paddle_restore.metrics.niqe import _halve, niqe
from tests.golden.procedural import procedural_input


def picture():
    noise = procedural_input("niqe/input", (200, 300, 3)) * 255.0
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    return np.floor(noise + 0.5).astype(np.uint8)


MEAN = procedural_input("niqe/mean", (36,)).astype(float)
COVARIANCE = np.diag(0.1 + procedural_input("niqe/covariance", (36,)).astype(float))
# By mmagic 1.2.0's niqe_core on the same grey picture and half-size picture.
GOLDEN = 11.0852342799


def test_the_value_of_the_reference_code():
    assert niqe(picture(), MEAN, COVARIANCE) == pytest.approx(GOLDEN, rel=1e-8)
    assert niqe(picture() / 255, MEAN, COVARIANCE) == pytest.approx(GOLDEN, rel=1e-8)


def test_halving_is_matlabs():
    x = np.random.default_rng(0).random((96, 48))
    np.testing.assert_allclose(_halve(_halve(x).T).T, imresize(x[..., None], 0.5)[..., 0], atol=1e-6)


def test_flat_pictures_have_no_score_and_small_ones_are_refused():
    assert math.isnan(niqe(np.full((96, 192, 3), 7, np.uint8), MEAN, COVARIANCE))
    with pytest.raises(UserError, match="96x192 at least, not 191x96"):
        niqe(np.zeros((96, 191, 3)), MEAN, COVARIANCE)


@pytest.mark.parametrize(
    ("suffix", "names"),
    [(".mat", ("mu_prisparam", "cov_prisparam")), (".npz", ("mu_pris_param", "cov_pris_param"))],
)
def test_published_parameter_files(tmp_path, suffix, names):
    path = tmp_path / f"parameters{suffix}"
    values = {names[0]: MEAN[None], names[1]: COVARIANCE, "gaussian_window": np.ones((7, 7))}
    scipy.io.savemat(path, values) if suffix == ".mat" else np.savez(path, **values)
    parameters = read_niqe_parameters(path)
    np.testing.assert_array_equal(parameters.mean, MEAN)
    np.testing.assert_array_equal(parameters.covariance, COVARIANCE)
    assert parameters.name.startswith(f"parameters{suffix} sha256 ")


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


WHOLE = npz(mu_pris_param=MEAN, cov_pris_param=COVARIANCE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no .npz nor .mat"),
        (b"nothing of the kind" * 20, "is no .npz nor .mat"),
        (WHOLE[:1000], "is no .npz nor .mat"),
        (npz(mu_pris_param=np.array([{}], dtype=object), cov_pris_param=COVARIANCE), "is no .npz nor .mat"),
        (npz(mean=MEAN), "holds neither mu_prisparam nor"),
        (npz(mu_pris_param=MEAN[:30], cov_pris_param=COVARIANCE), r"expected .* \(36, 36\), got \[\(30,\)"),
        (npz(mu_pris_param=MEAN, cov_pris_param=COVARIANCE * np.nan), "expected finite numbers"),
    ],
)
def test_other_files_are_one_line(tmp_path, data, message):
    (tmp_path / "p.npz").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_niqe_parameters(tmp_path / "p.npz")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"none\.mat: cannot be read"):
        read_niqe_parameters(tmp_path / "none.mat")
