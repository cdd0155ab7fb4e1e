"""NAFNet, beyond the alignment with its authors' values."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest
from paddle import nn

from paddle_restore import create_model
from paddle_restore.errors import UserError
from paddle_restore.models.nafnet import ChannelNorm, DeployedBlock
from paddle_restore.weights import convert_state_dict, read_weights, recognise
from tests.weights.test_reader import zip_file

from .golden import aligned_model, parameters, tensor


@pytest.mark.parametrize(("width", "count"), [(32, 29_159_715), (64, 115_982_915)])
def test_published_sizes(width, count):
    with paddle.LazyGuard():
        assert parameters(create_model("nafnet", width=width)) == count


def test_names_and_shapes_are_those_of_the_published_size(shared):
    models = json.loads((shared / "golden" / "models.json").read_text())["models"]
    shapes = models["nafnet_sidd32"]["state_dict"]
    zero = np.zeros(1, np.float32)
    reference = {name: np.lib.stride_tricks.as_strided(zero, s, (0,) * len(s)) for name, s in shapes.items()}
    converted = {name: list(array.shape) for name, array in convert_state_dict(reference, "nafnet").items()}
    with paddle.LazyGuard():
        own = {name: list(value.shape) for name, value in create_model("nafnet").state_dict().items()}
    assert converted == own
    assert models["nafnet_sidd64"]["params"] == 115_982_915


def test_deployed_has_other_blocks_and_the_same_output():
    model = aligned_model("nafnet")
    plain = model.deployed()
    assert not any(isinstance(layer, ChannelNorm) for layer in plain.sublayers())
    assert sum(isinstance(layer, DeployedBlock) for layer in plain.sublayers()) == 10
    x = tensor("nafnet/input", (1, 3, 64, 96))
    with paddle.no_grad():
        np.testing.assert_allclose(plain(x).numpy(), model(x).numpy(), atol=1e-5)
    # A copy: training goes on with the other blocks.
    assert not any(isinstance(layer, DeployedBlock) for layer in model.sublayers())


def test_normalisation_is_per_pixel():
    norm = ChannelNorm(5)
    norm.weight.set_value(tensor("weight", (5,)))
    norm.bias.set_value(tensor("bias", (5,)))
    x = tensor("x", (2, 5, 3, 4)).numpy().astype(np.float64)
    normal = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)
    expected = normal * norm.weight.numpy()[:, None, None] + norm.bias.numpy()[:, None, None]
    np.testing.assert_allclose(norm(paddle.to_tensor(x.astype(np.float32))).numpy(), expected, atol=1e-5)


def test_the_first_output_is_a_convolution_of_the_input():
    """beta and gamma begin at zero: the blocks pass their input on."""
    paddle.seed(0)
    model = create_model("nafnet", width=4, encoder=(3,), middle=2, decoder=(1,))
    x = tensor("x", (1, 3, 8, 8))
    first = model.first(x)
    expected = x + model.last(first + model.up[0](model.down[0](first)))
    np.testing.assert_allclose(model(x).numpy(), expected.numpy(), atol=1e-6)


def test_first_weights_are_pytorchs_default():
    paddle.seed(0)
    for name, layer in create_model("nafnet", width=8).named_sublayers():
        if isinstance(layer, nn.Conv2D):
            bound = np.prod(layer.weight.shape[1:]) ** -0.5
            for values in layer.parameters():
                assert values.abs().max().item() <= bound, name
                if values.size > 2000:
                    assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.05), name


def test_the_authors_file_is_recognised_with_its_size(tmp_path):
    """A .pth as `torch.save({"params": ...})` writes it, with widths and depths of its own."""
    size = {"width": 4, "encoder": (1, 2, 1), "middle": 2, "decoder": (1, 1, 3)}
    paddle.seed(0)
    model = create_model("nafnet", **size)
    theirs = {their_name(name): value.numpy() for name, value in model.state_dict().items()}
    assert {"encoders.1.1.sca.1.weight", "ups.2.0.weight", "middle_blks.1.norm2.bias"} < set(theirs)
    path = tmp_path / "NAFNet.pth"
    path.write_bytes(torch_file(theirs))
    network, arguments, _ = recognise(read_weights(path))
    assert (network.spec.id, arguments) == ("nafnet", size)
    x = tensor("x", (1, 3, 16, 24))
    with paddle.no_grad():
        np.testing.assert_array_equal(network(x).numpy(), model(x).numpy())


def their_name(name):
    group, _, rest = name.partition(".")
    rest = rest.replace("attention", "sca.1").replace(".conv.weight", ".0.weight" if group == "up" else "")
    groups = {"first": "intro", "last": "ending", "middle": "middle_blks"}
    return f"{groups.get(group, group + 's')}.{rest}"


def torch_file(state):
    """Return the bytes of a checkpoint in PyTorch's zip format, {"params": state}."""
    storages, items = {}, b""
    for key, (name, array) in enumerate(state.items()):
        storages[str(key)] = array.astype("<f4").tobytes()
        strides = tuple(int(np.prod(array.shape[i + 1 :])) for i in range(array.ndim))
        reference = b"(" + word("storage") + b"ctorch\nFloatStorage\n" + word(str(key)) + word("cpu")
        reference += number(array.size) + b"tQ"
        items += word(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + number(0)
        items += sequence(array.shape) + sequence(strides) + b"\x89ccollections\nOrderedDict\n)RtR"
    body = b"\x80\x02}" + word("params") + b"ccollections\nOrderedDict\n)R(" + items + b"us."
    return zip_file(body, storages)


def word(text):
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def number(value):
    return b"J" + int(value).to_bytes(4, "little", signed=True)


def sequence(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def test_levels_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="as many levels, at most 4"):
        create_model("nafnet", encoder=(1, 1), decoder=(1,))
    with pytest.raises(UserError, match="as many levels, at most 4"):
        create_model("nafnet", encoder=[1] * 5, decoder=[1] * 5)
