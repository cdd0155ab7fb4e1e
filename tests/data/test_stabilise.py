import numpy as np
import pytest

from paddle_restore.data.stabilise import plain_inverse, stabilise, stabilised_mean, unstabilise

GAIN = 2e-4


def noisy(electrons, read, count, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.poisson(electrons, count) + read * rng.standard_normal(count)) * GAIN


@pytest.mark.parametrize("read", [1.0, 3.0, 30.0])
@pytest.mark.parametrize("electrons", [4, 40, 4000])
def test_the_noise_has_unit_deviation(read, electrons):
    z = stabilise(noisy(electrons, read, 100_000), GAIN, (read * GAIN) ** 2)
    assert z.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("read", [0.1, 0.6, 2.0, 4.9, 5.1, 50.0])
@pytest.mark.parametrize("electrons", [0, 0.5, 2, 39, 41, 1000])
def test_the_inverse_of_the_mean_is_the_true_value(read, electrons):
    variance, count = (read * GAIN) ** 2, 400_000
    z = stabilise(noisy(electrons, read, count), GAIN, variance)
    found = unstabilise(z.mean(keepdims=True, dtype=float), GAIN, variance).item() / GAIN
    # Three standard errors, and the step between tables.
    assert found == pytest.approx(electrons, abs=3.5 * np.sqrt((electrons + read**2) / count) + 0.006)
    assert stabilised_mean(np.array([electrons * GAIN]), GAIN, variance).item() == pytest.approx(
        z.mean(dtype=float), abs=3.5 / count**0.5 + 0.006
    )


def test_the_plain_inverse_is_a_quarter_electron_below():
    z = np.array([40.0, 200.0])
    difference = (unstabilise(z, GAIN, GAIN**2) - plain_inverse(z, GAIN, GAIN**2)) / GAIN
    np.testing.assert_allclose(difference, 0.25, atol=0.01)


def test_it_is_monotone_odd_at_black_and_inverts_itself():
    x = np.linspace(-0.1, 1.2, 10_001)[None, None].repeat(3, 0)
    gain, variance = np.array([1e-3, 0.0, 1e-6])[:, None, None], np.array([0.0, 1e-6, 1e-4])[:, None, None]
    z = stabilise(x, gain, variance)
    assert z.dtype == np.float32
    assert (np.diff(z) > 0).all()
    assert ((z < 0) == (x < 0)).all()
    np.testing.assert_allclose(plain_inverse(z, gain, variance), x, atol=1e-6)
    np.testing.assert_allclose(unstabilise(stabilised_mean(x, gain, variance), gain, variance), x, atol=1e-6)


def test_channels_have_their_own_noise():
    x = np.random.default_rng(0).random((2, 4, 5, 6))
    gain, variance = np.geomspace(1e-5, 1e-2, 4)[:, None, None], np.geomspace(1e-8, 1e-3, 4)[:, None, None]
    whole = unstabilise(stabilise(x, gain, variance), gain, variance)
    for channel in range(4):
        g, v = gain[channel].item(), variance[channel].item()
        alone = unstabilise(stabilise(x[:, channel], g, v), g, v)
        np.testing.assert_allclose(whole[:, channel], alone, rtol=1e-6)


def test_values_without_shot_noise_are_divided_by_the_deviation():
    np.testing.assert_allclose(stabilise(np.array([-0.1, 0.5]), 0.0, 1e-4), [-10, 50], rtol=1e-6)
    np.testing.assert_allclose(unstabilise(np.array([-10.0, 50.0]), 0.0, 1e-4), [-0.1, 0.5], rtol=1e-6)


@pytest.mark.parametrize(("gain", "variance"), [(0, 0), (-1e-3, 1), (1e-3, -1), (float("nan"), 1)])
def test_impossible_noise(gain, variance):
    with pytest.raises(ValueError, match="gain"):
        stabilise(np.zeros(3), gain, variance)
