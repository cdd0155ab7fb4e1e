"""What every registered network keeps, whoever wrote it."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_restore import create_model, list_models
from paddle_restore.errors import UserError
from paddle_restore.models import MODELS, ModelSpec, model_spec
from paddle_restore.models.spec import INPUT_CHANNELS

from .small import small_model

WITH_HALO = [id for id in list_models() if model_spec(id).halo != "global"]
FADING = [id for id, model in MODELS.items() if model.fading]


@pytest.fixture(params=list_models())
def model(request):
    return small_model(request.param)


def picture(spec, height, width, seed=0):
    values = np.random.default_rng(seed).random((1, spec.in_channels, height, width), np.float32)
    return paddle.to_tensor(values)


def noise(spec, x, seed=1):
    """The arguments after the picture: a latent where the network takes one."""
    if spec.latent is None:
        return ()
    shape = (x.shape[0], *spec.latent.shape(*x.shape[2:]))
    return (paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape, np.float32)),)


@pytest.mark.parametrize("multiples", [(1, 1), (2, 3)])
def test_output_is_finite_and_scale_times_the_input(model, multiples):
    spec = model.spec
    x = picture(spec, *(spec.multiple * max(m, 16 * m // spec.multiple) for m in multiples))
    y = model(x, *noise(spec, x))
    assert y.shape == [1, spec.out_channels, spec.scale * x.shape[2], spec.scale * x.shape[3]]
    assert np.isfinite(y.numpy()).all()


def test_a_batch_is_its_pictures_one_by_one(model):
    spec = model.spec
    size = max(spec.multiple, 16)
    x = paddle.concat([picture(spec, size, 2 * size, seed) for seed in (1, 2)])
    more = noise(spec, x)
    together = model(x, *more)
    for i in range(2):
        alone = model(x[i : i + 1], *(z[i : i + 1] for z in more))
        np.testing.assert_allclose(together[i : i + 1].numpy(), alone.numpy(), atol=1e-5)


def test_every_parameter_receives_a_gradient(model):
    x = picture(model.spec, *[max(model.spec.multiple, 32)] * 2)
    model(x, *noise(model.spec, x)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert np.isfinite(parameter.grad.numpy()).all(), name
        assert parameter.grad.abs().max().item() > 0, name


def test_half_the_multiple_is_not_enough(model):
    spec = model.spec
    if spec.multiple == 1:
        return
    size = 3 * spec.multiple
    for height, width in [(size + spec.multiple // 2, size), (size, size + spec.multiple // 2)]:
        x = picture(spec, height, width)
        try:
            shape = model(x, *noise(spec, x)).shape
        except ValueError:
            continue
        assert shape != [1, spec.out_channels, spec.scale * height, spec.scale * width]


def test_export_with_any_size_gives_the_eager_numbers(model, tmp_path):
    spec = model.spec
    plain = getattr(model, "deployed", lambda: model)()
    plain.eval()
    assert plain.spec == spec
    inputs = [paddle.static.InputSpec([None, spec.in_channels, None, None], name="x")]
    if spec.latent is not None:
        inputs.append(paddle.static.InputSpec([None, spec.latent.channels, None, None], name="noise"))
    batches = []
    for height, width, count in [(1, 2, 2), (3, 1, 1)]:
        size = max(spec.multiple, 16)
        x = paddle.concat([picture(spec, height * size, width * size, seed) for seed in range(count)])
        more = noise(spec, x)
        batches.append(([x, *more], model(x, *more).numpy()))  # before tracing changes its forward
    path = str(tmp_path / "model")
    paddle.jit.save(paddle.jit.to_static(plain, input_spec=inputs, full_graph=True), path)
    exported = paddle.jit.load(path)
    for arguments, expected in batches:
        np.testing.assert_allclose(exported(*arguments).numpy(), expected, atol=1e-5)


def averaging(model):
    """Make every convolution an average of its inputs, so that no influence cancels or dies."""
    for parameter in model.parameters():
        values = np.zeros(parameter.shape, np.float32)
        if len(parameter.shape) == 4:
            values[:] = 1 / np.prod(parameter.shape[1:])
        parameter.set_value(values)


def reach(model, vertical):
    """How far the inputs of one output pixel lie, over all its places in the pooling grid."""
    spec = model.spec
    middle = (spec.halo // spec.multiple + 2) * spec.multiple
    shape = [2 * middle + spec.multiple, max(spec.multiple, 16)]
    size = shape if vertical else shape[::-1]
    pixels = range(middle, middle + spec.multiple)
    # One picture a place, so small that no clip at the end stops the gradient.
    x = paddle.concat([picture(spec, *size, seed) for seed, _ in enumerate(pixels)]) * 1e-3
    x.stop_gradient = False
    y = model(x, *(z * 1e-3 for z in noise(spec, x)))
    y = (y if vertical else y.transpose([0, 1, 3, 2])).unflatten(2, [-1, spec.scale])
    paddle.add_n([y[i, :, pixel].sum() for i, pixel in enumerate(pixels)]).backward()
    seen = x.grad.abs().sum(axis=[1, 3 if vertical else 2]).numpy() > 0
    return max(np.abs(np.flatnonzero(lines) - pixel).max() for lines, pixel in zip(seen, pixels))


@pytest.mark.parametrize("vertical", [True, False])
@pytest.mark.parametrize("id", sorted({*WITH_HALO} - {*FADING}))
def test_halo_covers_the_reach_and_is_not_wasteful(id, vertical):
    model = small_model(id)
    model = getattr(model, "deployed", lambda: model)()
    averaging(model)
    halo, multiple = model.spec.halo, model.spec.multiple
    found = reach(model, vertical)
    assert found <= halo < found + 2 * multiple


def change_from(model, distance):
    """What becomes of one line of the output when all input farther away changes, of the largest value."""
    spec = model.spec
    middle = (spec.halo // spec.multiple + 2) * spec.multiple
    x = picture(spec, max(spec.multiple, 16), 2 * middle + spec.multiple)
    near = np.abs(np.arange(x.shape[3]) - middle) <= distance
    other = paddle.where(paddle.to_tensor(near), x, picture(spec, *x.shape[2:], seed=1))
    more = noise(spec, x)
    lines = slice(spec.scale * middle, spec.scale * (middle + 1))
    with paddle.no_grad():
        ours, theirs = (model(z, *more)[:, :, :, lines].numpy() for z in (x, other))
    return np.abs(ours - theirs).max() / np.abs(ours).max()


def awakened(model):
    """Give layers that begin near zero, and would hide all influence, weights of a usual size."""
    for parameter in model.parameters():
        if len(parameter.shape) == 4 and parameter.abs().max().item() < 1e-3:
            bound = np.prod(parameter.shape[1:]) ** -0.5
            parameter.set_value(paddle.uniform(parameter.shape, min=-bound, max=bound))
    return model


@pytest.mark.parametrize("id", WITH_HALO)
def test_what_lies_outside_the_halo_does_not_matter(id):
    paddle.seed(0)
    model = awakened(create_model(id))
    assert change_from(model, model.spec.halo) < 1e-5
    if id in FADING:
        assert change_from(model, model.spec.halo // 8) > 1e-3


def test_specs_say_what_a_reader_must_know(model):
    spec = model.spec
    assert spec.id in list_models()
    assert spec == ModelSpec.from_dict(spec.to_dict()) == model_spec(spec.id)
    assert spec.input in INPUT_CHANNELS
    assert spec.paper
    assert spec.licence
    assert spec.repository.startswith("https://")


def test_unknown_names_are_met_by_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'sid_unet'"):
        create_model("sid_unte")
    with pytest.raises(UserError, match="did you mean 'width'"):
        create_model("sid_unet", widht=3)


@pytest.mark.parametrize(("id", "width"), [("mirnet", 7), ("mirnet_v2", 24), ("mirnet_v2_small", 24)])
def test_a_width_that_cannot_be_divided_is_refused(id, width):
    with pytest.raises(UserError, match="width must be"):
        create_model(id, width=width)


@pytest.mark.parametrize(
    ("id", "arguments"),
    [("sid_unet", {"width": 10**9}), ("nafnet", {"encoder": [1] * 1000}), ("invdn", {"blocks": 10**12})],
)
def test_arguments_that_no_machine_can_hold_are_an_error(id, arguments):
    with pytest.raises(UserError, match=r"numbers are at most .*, lists at most 64 long"):
        create_model(id, **arguments)
