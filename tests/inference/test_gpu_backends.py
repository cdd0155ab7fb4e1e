"""How Paddle Inference is told to use a GPU. A stand-in for its configuration records the calls."""

from __future__ import annotations

import paddle
import pytest

from paddle_restore.errors import UserError
from paddle_restore.inference.backends import open_network, tensorrt
from paddle_restore.inference.backends import paddle as paddle_backend
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Preprocess
from paddle_restore.models import create_model

HALF, FULL = paddle.inference.PrecisionType.Half, paddle.inference.PrecisionType.Float32


class Recorded:
    """Records the methods that are called on it, with their arguments."""

    def __init__(self, *files):
        self.files, self.calls = files, {}

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.update({name: (*args, *kwargs.items())})


class Predictor:
    def __init__(self, config):
        self.config = config

    def get_input_names(self):
        return ["input"]

    def get_output_names(self):
        return ["output"]

    def get_input_handle(self, name):
        return name

    get_output_handle = get_input_handle


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs, and TensorRT, in a stand-in of Paddle Inference."""
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(paddle_backend.inference, "Config", Recorded)
    monkeypatch.setattr(paddle_backend.inference, "create_predictor", Predictor)
    monkeypatch.setattr(paddle_backend.inference, "get_trt_compile_version", lambda: (8, 5, 1))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    for name, legacy in (("new", False), ("legacy", True)):
        export(create_model("sid_unet", width=4), root / name, "sid_unet", Preprocess(), legacy=legacy)
    return root


def test_the_gpu_the_precision_and_the_memory(folders, gpus):
    network = open_network(folders / "new", "paddle", "gpu:1", "fp16")
    assert network.name == "Paddle Inference fp16"
    assert network.config.calls["enable_use_gpu"] == (256, 1, HALF)
    assert "enable_memory_optim" in network.config.calls
    assert not {"delete_pass", "enable_tensorrt_engine", "disable_gpu"} & set(network.config.calls)
    assert open_network(folders / "new", "paddle", "gpu").config.calls["enable_use_gpu"] == (256, 0, FULL)


def test_tensorrt_is_a_backend(folders, gpus):
    network = open_network(folders / "legacy", "tensorrt", "gpu", "fp16")
    assert network.name == "TensorRT fp16"
    options = dict(network.config.calls["enable_tensorrt_engine"])
    assert options["precision_mode"] is HALF
    assert (options["use_static"], options["use_calib_mode"]) == (False, False)
    # Height and width are free.
    assert network.config.calls["enable_tuned_tensorrt_dynamic_shape"] == ("", True)
    assert network.config.calls["enable_use_gpu"] == (256, 0, HALF)


@pytest.mark.parametrize(
    ("folder", "device", "precision", "message"),
    [
        ("legacy", "cpu", "fp32", r"TensorRT runs on a GPU; use --device gpu"),
        ("legacy", "gpu:2", "fp32", r"shows 2 GPU\(s\), gpu:0 to gpu:1"),
        ("legacy", "gpu", "bf16", r"bf16 does not run on gpu here; use fp16 or fp32"),
        ("new", "gpu", "fp32", r"TensorRT runs model.pdmodel, not model.json; export .* with --legacy"),
    ],
)
def test_what_tensorrt_cannot_run_is_one_line(folders, gpus, folder, device, precision, message):
    if folder == "new" and paddle.__version__.startswith("2."):
        pytest.skip("PaddlePaddle 2.6 exports model.pdmodel only")
    with pytest.raises(UserError, match=message):
        open_network(folders / folder, "tensorrt", device, precision)


def test_a_paddle_without_tensorrt_is_one_line(folders, gpus, monkeypatch):
    monkeypatch.setattr(tensorrt.inference, "get_trt_compile_version", lambda: (0, 0, 0))
    with pytest.raises(UserError, match=r"built without TensorRT; use --backend paddle"):
        open_network(folders / "legacy", "tensorrt", "gpu")


def test_onnx_runtime_gets_the_number_of_the_gpu(folders, monkeypatch, tmp_path):
    onnx = pytest.importorskip("paddle_restore.inference.backends.onnx")
    if onnx.onnxruntime is None:
        pytest.skip("ONNX Runtime is not installed")
    given = {}
    monkeypatch.setattr(onnx.onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnx.onnxruntime, "InferenceSession", lambda *args, **kwargs: given.update(kwargs))
    monkeypatch.setattr(onnx, "read_onnx", lambda path: b"")
    monkeypatch.setattr(onnx, "graph_files", lambda *args: [tmp_path / "model.onnx"])
    open_network(folders / "new", "onnx", "gpu:1")
    assert given["providers"] == [("CUDAExecutionProvider", {"device_id": 1})]
