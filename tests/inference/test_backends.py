"""Every backend gives the eager network's numbers; what cannot run says so in one line."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
import pytest

from paddle_restore import create_model, list_models
from paddle_restore.cli.main import main
from paddle_restore.data.image import read_image, write_image
from paddle_restore.errors import UserError
from paddle_restore.inference import export as export_module
from paddle_restore.inference import onnx_export
from paddle_restore.inference.backends import find_backends, open_network
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Preprocess, read_package
from tests.models.small import small_model

LIBRARIES = {"paddle": "paddle", "onnx": "onnxruntime", "openvino": "openvino"}
NO_ONNX = "an ONNX export needs paddle2onnx, onnx and onnxruntime: pip install 'paddle_restore[onnx]'"


def needs_onnx():
    for library in ("paddle2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(library, reason=NO_ONNX)


def tiny_model(id: str):
    model = small_model(id)
    # Learned slopes differ from layer to layer, and none is 0.2.
    for i, layer in enumerate(x for x in model.sublayers() if isinstance(x, paddle.nn.PReLU)):
        (slope,) = layer.parameters()
        slope.set_value(paddle.full_like(slope, 0.05 + 0.03 * i))
    return model


def inputs(spec, shape: tuple[int, int, int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    batch, height, width = shape
    arrays = [rng.random((batch, spec.in_channels, height, width), np.float32)]
    if spec.latent:
        sides = (height // spec.latent.stride, width // spec.latent.stride)
        arrays.append(rng.standard_normal((batch, spec.latent.channels, *sides), np.float32))
    return arrays


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folders with both graphs, made when a test asks for them."""
    made = {}

    def make(id: str):
        needs_onnx()
        if id not in made:
            folder = tmp_path_factory.mktemp(id) / "inference"
            model = tiny_model(id)
            export(model, folder, id, Preprocess(), format="all")
            made[id] = folder, EagerNetwork(model), model.spec
        return made[id]

    return make


@pytest.mark.parametrize("id", list_models())
@pytest.mark.parametrize("backend", LIBRARIES)
def test_backends_give_the_networks_numbers(exported, id, backend):
    pytest.importorskip(LIBRARIES[backend])
    folder, eager, spec = exported(id)
    network = open_network(folder, backend, threads=1)
    assert network.threads == 1
    for shape in ((1, 96, 64), (2, 64, 160)):  # sizes that no check at export had
        arrays = inputs(spec, shape)
        expected = eager(*arrays)
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(network(*arrays), expected, rtol=0, atol=1e-4 * scale)


def test_a_result_outlives_the_next_call(exported):
    pytest.importorskip("openvino")
    folder, _, spec = exported("sid_unet")
    for backend in LIBRARIES:
        network = open_network(folder, backend)
        first = network(*inputs(spec, (1, 32, 32)))
        kept = first.copy()
        network(*inputs(spec, (1, 32, 32), seed=1))
        np.testing.assert_array_equal(first, kept)


# Measured with these fresh weights: SID 78 and 80 dB, MIRNet 63 and 56, MIRNetV2 56 and 54.
@pytest.mark.parametrize("id", ["sid_unet", "mirnet", "mirnet_v2_small"])
@pytest.mark.parametrize("backend", ["paddle", "openvino"])
def test_bf16_stays_near(exported, id, backend):
    pytest.importorskip(LIBRARIES[backend])
    folder, eager, spec = exported(id)
    try:
        network = open_network(folder, backend, precision="bf16")
    except UserError as error:
        pytest.skip(str(error))
    arrays = inputs(spec, (1, 64, 96))
    error = float(np.square(network(*arrays) - eager(*arrays)).mean())
    # Not zero: else it would have computed in fp32.
    assert 0 < error < 10 ** (-45 / 10)


def test_fp32_is_not_bf16_by_default(exported):
    """OpenVINO computes in bf16 by itself on a CPU that has it."""
    pytest.importorskip("openvino")
    folder, eager, spec = exported("mirnet_v2")
    arrays = inputs(spec, (1, 64, 64))
    assert np.abs(open_network(folder, "openvino")(*arrays) - eager(*arrays)).max() < 1e-5


def test_the_description_tells_what_was_checked(exported):
    folder, _, _ = exported("invdn")
    package = read_package(folder)
    assert {p.name for p in folder.iterdir()} == {
        *("inference.yml", "model.json", "model.pdiparams", "model.onnx")
    }
    assert [check.graph for check in package.checks] == ["paddle"] * 3 + ["onnx"] * 3
    assert max(check.input_shape[0] for check in package.checks if check.graph == "onnx") == 2
    assert package.graph.inputs == ("input", "noise")


def test_onnx_alone_and_its_free_sides(tmp_path):
    needs_onnx()
    import onnx

    export(tiny_model("invdn"), tmp_path / "a", "invdn", Preprocess(), format="onnx")
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"inference.yml", "model.onnx"}
    graph = onnx.load(tmp_path / "a/model.onnx").graph
    sides = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert sides == {
        "input": ["batch", 3, "height", "width"],
        "noise": ["batch", 45, "noise_height", "noise_width"],
        "output": ["batch", 3, "output_height", "output_width"],
    }
    with pytest.raises(UserError, match=r"has no paddle graph; export it with --format paddle"):
        open_network(tmp_path / "a", "paddle")


def test_slopes_are_repaired_one_by_one(exported):
    folder, _, _ = exported("mirnet")
    import onnx

    nodes = [n for n in onnx.load(folder / "model.onnx").graph.node if n.op_type == "LeakyRelu"]
    slopes = [round(node.attribute[0].f, 4) for node in nodes]
    assert len(set(slopes)) > 5
    assert set(slopes) <= {round(0.05 + 0.03 * i, 4) for i in range(40)}


def test_an_onnx_graph_with_wrong_numbers_is_refused(tmp_path, monkeypatch):
    """What paddle2onnx gives without the repair."""
    needs_onnx()
    monkeypatch.setattr(onnx_export, "_repair_leaky_relu", lambda model, program: None)
    with pytest.raises(UserError, match=r"the onnx graph differs from the network by .*nothing was written"):
        export(tiny_model("sid_unet"), tmp_path / "a", "sid_unet", Preprocess(), format="all")
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_converted_is_one_line(tmp_path, monkeypatch):
    needs_onnx()
    import paddle2onnx

    def fail(*args, **kwargs):
        raise RuntimeError("no operator pd_op.x")

    monkeypatch.setattr(paddle2onnx, "export", fail)
    with pytest.raises(UserError, match=r"paddle2onnx cannot convert this network \(no operator pd_op.x\)"):
        export(tiny_model("sid_unet"), tmp_path / "a", "sid_unet", Preprocess(), format="onnx")
    assert not list(tmp_path.iterdir())


def test_a_strangers_onnx_leads_to_no_other_file(exported, tmp_path):
    folder, _, _ = exported("sid_unet")
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        if node.op_type == "Constant":
            set_external_data(node.attribute[0].t, "../../etc/passwd")
            node.attribute[0].t.ClearField("raw_data")
            break
    (tmp_path / "inference.yml").write_bytes((folder / "inference.yml").read_bytes())
    for name in ("model.json", "model.pdiparams"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    for backend in ("onnx", "openvino"):
        pytest.importorskip(LIBRARIES[backend])
        with pytest.raises(UserError, match=r"model.onnx: refers to data in other files"):
            open_network(tmp_path, backend)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("content", [b"no such thing", b"\x08\x09", None])
def test_a_broken_onnx_is_one_line(exported, tmp_path, backend, content):
    pytest.importorskip(LIBRARIES[backend])
    folder, _, _ = exported("sid_unet")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    whole = (folder / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=r"model.onnx: .*export (the model|it) again") as caught:
        open_network(tmp_path, backend)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("torch",), r"no backend 'torch' .*backends: paddle, onnx, openvino"),
        (("paddle", "cpu", "int8"), r"precision 'int8'"),
        (("paddle", "tpu"), r"no device 'tpu'; devices: cpu, gpu"),
        (("paddle", "cpu", "fp16"), r"fp16 does not run on cpu here; use bf16 or fp32"),
        (("onnx",), r"has no onnx graph; export it with --format onnx"),
        (("openvino",), r"has no onnx graph; export it with --format onnx"),
        (("onnx", "cpu", "bf16"), r"ONNX Runtime has no bf16"),
    ],
)
def test_what_cannot_run_is_one_line(tmp_path, arguments, message):
    if arguments[0] in LIBRARIES:
        pytest.importorskip(LIBRARIES[arguments[0]])
    export(tiny_model("sid_unet"), tmp_path, "sid_unet", Preprocess())
    with pytest.raises(UserError, match=message):
        open_network(tmp_path, *arguments)


@pytest.mark.skipif(paddle.is_compiled_with_cuda(), reason="this Paddle may have a GPU")
def test_a_gpu_that_is_not_there_is_one_line(tmp_path):
    export(tiny_model("sid_unet"), tmp_path, "sid_unet", Preprocess())
    with pytest.raises(UserError, match=r"this PaddlePaddle finds no GPU"):
        open_network(tmp_path, "paddle", "gpu")


@pytest.mark.parametrize("backend", LIBRARIES)
def test_threads_that_share_a_network_get_their_own_pictures(exported, backend):
    pytest.importorskip(LIBRARIES[backend])
    folder, _, spec = exported("sid_unet")
    network = open_network(folder, backend)
    batches = [inputs(spec, (1, 32, 32), seed)[0] for seed in range(3)] * 10
    expected = [network(batch) for batch in batches]
    with ThreadPoolExecutor(3) as threads:
        for result, wanted in zip(threads.map(network, batches), expected):
            np.testing.assert_allclose(result, wanted, atol=1e-5)


@pytest.mark.parametrize(("backend", "library"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_library_is_one_line(tmp_path, monkeypatch, backend, library):
    export(tiny_model("sid_unet"), tmp_path, "sid_unet", Preprocess())
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"paddle_restore.inference.backends.{backend}", raising=False)
    with pytest.raises(UserError, match=rf"pip install 'paddle_restore\[{backend}\]'"):
        open_network(tmp_path, backend)


def test_an_onnx_export_without_its_libraries_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    with pytest.raises(UserError, match=r"needs paddle2onnx, onnx and onnxruntime .*pip install"):
        export_module.export(tiny_model("lamba"), tmp_path / "a", "lamba", Preprocess(), format="all")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("id", ["sid_unet", "sid_unet_xtrans", "lamba"])
def test_a_legacy_folder_runs(tmp_path, id):
    model = tiny_model(id)
    export(model, tmp_path / "a", id, Preprocess(), legacy=True)
    assert read_package(tmp_path / "a").graph.program == "model.pdmodel"
    arrays = inputs(model.spec, (2, 96, 64))
    difference = np.abs(open_network(tmp_path / "a")(*arrays) - EagerNetwork(model)(*arrays)).max()
    assert difference < 1e-4
    # The next export takes the folder over: of two graphs, one would be stale.
    export(model, tmp_path / "a", id, Preprocess())
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert len(names & {"model.json", "model.pdmodel"}) == 1


@pytest.mark.skipif(
    not hasattr(paddle.pir_utils, "OldIrGuard"), reason="PaddlePaddle 2.6 exports every network"
)
def test_what_legacy_cannot_trace_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot trace this network as model.pdmodel; export it with"):
        export(tiny_model("invdn"), tmp_path / "a", "invdn", Preprocess(), legacy=True)
    with pytest.raises(UserError, match=r"without --legacy"):
        export(tiny_model("sid_unet"), tmp_path / "a", "sid_unet", Preprocess(), format="all", legacy=True)
    assert not list(tmp_path.iterdir())


FOREIGN = """
import numpy as np

from paddle_restore.errors import UserError


class Network:
    def __init__(self, folder, package, device, precision, threads):
        if precision != "fp32":
            raise UserError("mirror: fp32 only")
        self.name, self.threads = f"mirror of {package.name}", threads

    def __call__(self, *inputs):
        return np.ascontiguousarray(inputs[0][..., ::-1])
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A package of a user's own that brings the backend `mirror`, and `broken`, which cannot be imported."""
    packages = tmp_path / "site"
    (packages / "mirrors-1.0.dist-info").mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: mirrors\nVersion: 1.0\n"
    (packages / "mirrors-1.0.dist-info/METADATA").write_text(metadata)
    (packages / "mirrors-1.0.dist-info/entry_points.txt").write_text(
        "[paddle_restore.inference.backends]\nmirror = mirrors_flip\nbroken = mirrors_broken\n"
        "onnx = mirrors_flip\n"
    )
    (packages / "mirrors_flip.py").write_text(FOREIGN)
    (packages / "mirrors_broken.py").write_text("import no_such_library_of_mirrors\n")
    monkeypatch.syspath_prepend(packages)
    yield
    for name in ("mirrors_flip", "mirrors_broken"):
        sys.modules.pop(name, None)


def test_a_backend_of_another_package_restores_files(foreign, tmp_path, capsys):
    """By the command line; nothing but the package's entry point says that it is there."""
    folder, picture = tmp_path / "inference", np.random.default_rng(0).random((24, 32, 3))
    export(create_model("mirnet_v2_small", width=8, groups=[1]), folder, "small", Preprocess())
    write_image(tmp_path / "a.png", picture)
    words = ("--model_dir", folder, "--input", tmp_path / "a.png", "--output", tmp_path / "out")
    with pytest.raises(SystemExit) as stop:
        main("infer", [*map(str, words), "--backend", "mirror", "--device", "cpu", "--benchmark", "true"])
    assert stop.value.code == 0, capsys.readouterr().err
    restored = read_image(tmp_path / "out/a.png")
    np.testing.assert_array_equal(restored, np.rint(picture * 255)[:, ::-1])
    assert open_network(folder, "mirror", threads=3).name == "mirror of small"


def test_backends_of_other_packages_have_limits(foreign, tmp_path, capsys):
    """They do not replace ours, need not be imported to be named, and fail in one line."""
    found = find_backends()
    assert next(iter(found)) == "paddle"
    assert set(found) >= {"paddle", "onnx", "openvino", "mirror", "broken"}
    assert found["onnx"] == "paddle_restore.inference.backends.onnx"
    assert "mirrors_flip" not in sys.modules
    export(create_model("lamba"), tmp_path / "inference", "lamba", Preprocess())
    with pytest.raises(UserError, match="mirror: fp32 only"):
        open_network(tmp_path / "inference", "mirror", precision="bf16")
    message = r"'broken': mirrors_broken cannot be imported \(ModuleNotFoundError: .*no_such_library"
    with pytest.raises(UserError, match=message):
        open_network(tmp_path / "inference", "broken")
