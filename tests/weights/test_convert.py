"""Published checkpoints become our weights and give the authors' pixels."""

from __future__ import annotations

import argparse
import json

import numpy as np
import paddle
import pytest

from paddle_restore.alignment import GoldenFolder, aligned_models, golden_of
from paddle_restore.alignment.steps import forward, golden_batch
from paddle_restore.cli import convert_weights
from paddle_restore.errors import UserError
from paddle_restore.models import create_model, model_spec
from paddle_restore.weights import convert_state_dict, load_into, load_pdparams, read_weights, recognise
from tests.conftest import GOLDEN
from tests.golden.procedural import procedural_input, procedural_tf_weight, procedural_weight

TENSORFLOW = {"sid_unet": "sid_tf_sony", "sid_unet_xtrans": "sid_tf_fuji"}


def tensorflow_reference(model):
    variables = json.loads((GOLDEN / "tf_models.json").read_text())[TENSORFLOW[model]]["variables"]
    return {name: procedural_tf_weight(name, shape) for name, shape in variables.items()}


def assert_authors_output(network, model):
    name = TENSORFLOW[model]
    shape = json.loads((GOLDEN / "tf_models.json").read_text())[name]["input_shape_nhwc"]
    x = procedural_input(f"{name}/input", tuple(shape)).transpose(0, 3, 1, 2)
    output = network(paddle.to_tensor(x)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(output, np.load(GOLDEN / f"{name}.npz")["output_nhwc"], atol=1e-5)


@pytest.mark.parametrize("model", TENSORFLOW)
def test_tensorflow_variables_give_the_authors_output(model):
    network = create_model(model)
    load_into(network, convert_state_dict(tensorflow_reference(model), model))
    assert_authors_output(network, model)


@pytest.mark.parametrize("model", TENSORFLOW)
def test_tensorflow_networks_are_recognised(model):
    network, arguments, _ = recognise(tensorflow_reference(model))
    assert network.spec.id == model
    assert arguments == {}


def pytorch_names(width=4, channels=4, scale=2):
    """Names and shapes of the PyTorch ports at any width."""
    widths = [width * 2**level for level in range(5)]
    shapes = {}
    for block, (before, after) in enumerate(zip([channels, *widths], widths), start=1):
        shapes[f"conv{block}_1"], shapes[f"conv{block}_2"] = (after, before, 3, 3), (after, after, 3, 3)
    for block, after in enumerate(reversed(widths[:-1]), start=6):
        shapes[f"upv{block}"] = (2 * after, after, 2, 2)
        shapes[f"conv{block}_1"], shapes[f"conv{block}_2"] = (after, 2 * after, 3, 3), (after, after, 3, 3)
    shapes["conv10_1"] = (3 * scale**2, width, 1, 1)
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = procedural_weight(f"{name}.weight", shape)
        bias = (shape[1] if name.startswith("upv") else shape[0],)
        state[f"{name}.bias"] = procedural_weight(f"{name}.bias", bias)
    return state


def sid_paddle_name(name):
    name = name.replace("upv", "up").replace("conv10_1", "conv10")
    if name.startswith("conv") and "_" in name:
        block, rest = name.split("_")
        return f"{block}.conv.{0 if rest[0] == '1' else 2}{rest[1:]}"
    return name


def test_sid_paddle_is_the_pytorch_port_by_other_names():
    state = pytorch_names()
    renamed = {sid_paddle_name(name): array for name, array in state.items()}
    assert "conv3.conv.2.weight" in renamed
    assert not set(renamed) & set(state)
    ours, theirs = convert_state_dict(renamed, "sid_unet"), convert_state_dict(state, "sid_unet")
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array)


@pytest.mark.parametrize(("channels", "scale", "id"), [(4, 2, "sid_unet"), (9, 3, "sid_unet_xtrans")])
def test_the_network_and_its_width_are_recognised(channels, scale, id):
    network, arguments, state = recognise(pytorch_names(6, channels, scale))
    assert (network.spec.id, arguments) == (id, {"width": 6})
    np.testing.assert_array_equal(network.head.weight.numpy(), state["head.weight"])


def test_our_own_names_are_recognised():
    model = create_model("sid_unet_xtrans")
    network, arguments, _ = recognise({name: value.numpy() for name, value in model.state_dict().items()})
    assert (network.spec.id, arguments) == ("sid_unet_xtrans", {})


def test_what_is_not_recognised_names_the_nearest():
    state = pytorch_names()
    del state["conv10_1.bias"]
    with pytest.raises(UserError, match=r"sid_unet is nearest: 1 missing, such as head\.bias"):
        recognise(state)
    with pytest.raises(UserError, match=r"1 parameters, such as 'x' \(3,\), fit none of .*sid_unet,"):
        recognise({"x": np.zeros(3)})
    with pytest.raises(UserError, match="did you mean 'sid_unet'"):
        recognise(state, "sid_net")


def test_a_width_that_a_file_claims_takes_no_memory():
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (12, 10**6, 1, 1), (0, 0, 0, 0))
    with pytest.raises(UserError, match="fit none"):
        recognise({"conv10_1.weight": huge})


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("conv7_3.weight", (3,), "not one that published sid_unet"),
        ("g_conv10/weights", (1, 1, 32), "cannot have shape"),
        ("g_conv10/biases", (11,), "cannot have shape"),
    ],
)
def test_parameters_that_no_rule_covers(name, shape, message):
    with pytest.raises(UserError, match=message):
        convert_state_dict({name: np.zeros(shape)}, "sid_unet")


def convert(*arguments):
    parser = argparse.ArgumentParser()
    convert_weights.add_arguments(parser)
    return convert_weights.run(parser.parse_args([str(argument) for argument in arguments]))


def test_the_command_on_lambas_real_weights(shared, tmp_path, capsys):
    output = tmp_path / "lamba.pdparams"
    assert convert("--source", shared / "weights" / "lamba_official.pth", "--output", output) == 0
    printed = capsys.readouterr().out
    assert "recognised lamba " in printed
    assert "non-commercial" in printed
    network = create_model("lamba")
    load_into(network, load_pdparams(output))
    values = np.load(shared / "golden" / "lamba_official.npz")
    ours = network(paddle.to_tensor(values["input"])).numpy()
    np.testing.assert_allclose(ours, values["output"], atol=1e-5)


@pytest.mark.parametrize("id", aligned_models())
def test_the_command_on_every_networks_published_names(id, tmp_path, capsys):
    reference = GoldenFolder(GOLDEN).reference(golden_of(id))
    source, output = tmp_path / "published", tmp_path / "ours.safetensors"
    paddle.save(reference.weights, str(source))  # keeps their order: copies of a shared layer differ here
    assert convert("--source", source, "--output", output) == 0
    printed = capsys.readouterr().out
    assert f"recognised {id} " in printed
    assert model_spec(id).licence in printed
    network = create_model(id, **golden_of(id).args)
    load_into(network, read_weights(output))
    ours = forward(network, golden_batch(reference))
    np.testing.assert_allclose(ours, reference.output, rtol=0, atol=1e-4 * np.abs(reference.output).max())


@pytest.mark.parametrize("id", ["mirnet", "mirnet_v2", "nafnet"])
@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (7, 3, 3, 3), (10**6, 3, 3, 3), (10**6, 0), ()])
def test_sizes_that_no_network_can_have(id, shape):
    weights = dict(GoldenFolder(GOLDEN).reference(golden_of(id)).weights)
    (first,) = (name for name in weights if "first.weight" in convert_state_dict({name: weights[name]}, id))
    weights[first] = np.broadcast_to(np.float32(0), shape)  # takes no memory
    with pytest.raises(UserError, match="fit none"):
        recognise(weights, id)


@pytest.mark.parametrize("ending", [".pdparams", ".safetensors"])
def test_the_command_on_the_real_tensorflow_checkpoint(shared, tmp_path, capsys, ending):
    source, output = shared / "weights" / "sid_sony_tf" / "model.ckpt", tmp_path / f"sid{ending}"
    assert convert("--source", source, "--output", output) == 0
    printed = capsys.readouterr().out
    assert "sid_unet" in printed
    assert "7,760,268" in printed
    assert "7,760,748" in printed
    assert "MIT" in printed
    assert [path.name for path in tmp_path.iterdir()] == [output.name]
    network = create_model("sid_unet")
    load_into(network, read_weights(output))
    assert_authors_output(network, "sid_unet")


def test_lambas_published_weights_say_their_licence_and_give_the_authors_output(shared, tmp_path, capsys):
    output = tmp_path / "lamba.pdparams"
    assert convert("--source", shared / "weights" / "lamba_official.pth", "--output", output) == 0
    printed = capsys.readouterr().out
    assert "lamba (Lamba and Mitra" in printed
    line = next(line for line in printed.splitlines() if line.startswith("licence"))
    assert "non-commercial use only, patent pending" in line
    assert create_model("lamba").spec.licence in line
    network = create_model("lamba")
    load_into(network, read_weights(output))
    arrays = np.load(shared / "golden" / "lamba_official.npz")
    got = network.deployed()(paddle.to_tensor(arrays["input"])).numpy()
    np.testing.assert_allclose(got, arrays["output"], atol=1e-5)


def test_the_command_on_a_wrapped_parallel_pdparams(tmp_path, capsys):
    state = {f"module.{sid_paddle_name(n)}": paddle.to_tensor(a) for n, a in pytorch_names(2).items()}
    source, output = str(tmp_path / "model_4000.pdparams"), tmp_path / "ours.pdparams"
    paddle.save({"epoch": 4000, "state_dict": state, "optimizer": {}}, source)
    assert convert("--source", source, "--output", output, "--model", "sid_unet") == 0
    assert "width=2" in capsys.readouterr().out
    assert load_into(create_model("sid_unet", width=2), load_pdparams(output)) == []


def test_the_command_writes_nothing_for_weights_that_do_not_run(tmp_path):
    state = pytorch_names(2)
    state["conv5_2.bias"][:] = np.nan
    source, output = tmp_path / "nan.pdparams", tmp_path / "ours.pdparams"
    paddle.save(state, str(source))
    with pytest.raises(UserError, match=r"nan\.pdparams: these weights do not run"):
        convert("--source", source, "--output", output)
    with pytest.raises(UserError, match="endings"):
        convert("--source", source, "--output", tmp_path / "ours.pth")
    with pytest.raises(UserError, match="fit none of sid_unet_xtrans"):
        convert("--source", source, "--output", output, "--model", "sid_unet_xtrans")
    assert not output.exists()
