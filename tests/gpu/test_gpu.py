"""What a GPU must do as a CPU does; tools/gpu_check.sh runs these. Nobody has run them on a GPU yet."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import paddle
import pytest

from paddle_restore.alignment import GoldenFolder, align, aligned_models, compare
from paddle_restore.engine.checkpoint import find_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.signals import Stopped
from paddle_restore.engine.step import Step
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import open_network
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Preprocess
from paddle_restore.models import create_model, list_models, small_arguments
from paddle_restore.weights import load_weights
from tests.conftest import GOLDEN, ROOT
from tests.engine.runs import arrays, records
from tests.engine.test_resume import StopAfter

WIDER = 10
"""A GPU adds in another order than the CPU that the thresholds were chosen for."""


@pytest.mark.parametrize("id", aligned_models())
def test_goldens(device, id):
    """Output, loss, gradients and five training steps are those of the authors' code."""
    rows = [compare(id, *step) for step in align(id, GoldenFolder(GOLDEN))]
    assert [row.step for row in rows]
    wider = WIDER if device != "cpu" else 1
    assert not [row for row in rows if not row.difference <= wider * row.threshold]


@pytest.mark.parametrize("amp", ["null", "O1", "O2"])
def test_a_short_training_stopped_and_resumed(device, tiny_recipe, tmp_path, amp):
    """The resumed run ends like the straight one, as far as a GPU repeats sums; the loss falls."""
    if amp != "null" and device == "cpu":
        pytest.skip("only a GPU does this")
    changes = (f"train.amp={amp}", "train.epochs=null", "train.iterations=40")
    config = load_config(tiny_recipe, (*changes, "save.every=10", "eval.every=20"))
    train(config, tmp_path / "straight")
    with pytest.raises(Stopped):
        train(config, tmp_path / "resumed", stop=StopAfter(25))
    train(config, tmp_path / "resumed", find_checkpoint(tmp_path / "resumed"))
    tolerance = 1e-3 if amp == "null" else 2e-2
    one, two = (arrays(tmp_path / name / "latest") for name in ("straight", "resumed"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        if name.startswith("model/"):
            np.testing.assert_allclose(two[name], value, rtol=0, atol=tolerance, err_msg=name)
    rows = [records(tmp_path / name) for name in ("straight", "resumed")]
    assert [row["iteration"] for row in rows[0]] == [row["iteration"] for row in rows[1]]
    losses = [row["loss"] for row in rows[0] if "loss" in row]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_two_processes_by_nccl_train_as_one(gpu, tiny_recipe, tmp_path):
    if paddle.device.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    options = ("-o", "train.epochs=null", "train.iterations=10", "eval.every=null")
    launcher = ("-m", "paddle.distributed.launch", "--devices", "0,1", "--log_dir", tmp_path / "log")
    for name, words, batch in (("one", (), 2), ("two", launcher, 1)):
        command = [*words, ROOT / "tools/train.py", "-c", tiny_recipe, *options, f"train.batch_size={batch}"]
        command += ["--device", "gpu", "--output_dir", tmp_path / name]
        done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    one, two = (arrays(tmp_path / name / "latest") for name in ("one", "two"))
    for name, value in one.items():
        if name.startswith("model/"):
            np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-4, err_msg=name)


def test_memory_is_flat_over_500_steps(gpu, tiny_recipe, tmp_path, monkeypatch):
    """The author of SID-Paddle reports GPU memory that grows until a training ends."""
    held, step = [], Step.__call__

    def recording(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        held.append((paddle.device.cuda.memory_allocated(), paddle.device.cuda.memory_reserved()))
        return result

    monkeypatch.setattr(Step, "__call__", recording)
    changes = ("train.epochs=null", "train.iterations=500", "eval.every=null", "train.log_every=100")
    train(load_config(tiny_recipe, changes), tmp_path)
    allocated, reserved = np.array(held[50:], np.float64).T
    assert allocated.max() <= 1.01 * allocated[0]
    assert reserved.max() <= 1.01 * reserved[0]


PRECISIONS = [("paddle", "fp32", 1e-4), ("paddle", "fp16", 2e-2), ("tensorrt", "fp32", 1e-3)]
PRECISIONS += [("tensorrt", "fp16", 2e-2)]


@pytest.mark.parametrize("id", list_models())
def test_exported_graphs_against_the_own_code(device, tmp_path, id):
    """Paddle Inference and TensorRT, fp32 and fp16, on three sizes."""
    paddle.device.set_device("cpu")
    paddle.seed(0)
    model = create_model(id, **small_arguments(id))
    paddle.save(model.state_dict(), str(tmp_path / "weights.pdparams"))
    export(model, tmp_path / "new", id, Preprocess())
    folders = {"paddle": tmp_path / "new"}
    try:
        again = create_model(id, **small_arguments(id))  # the first export has changed its model's forward
        load_weights(again, tmp_path / "weights.pdparams")
        export(again, tmp_path / "legacy", id, Preprocess(), legacy=True)
        folders["tensorrt"] = tmp_path / "legacy"
    except UserError:  # PaddlePaddle 3.3 cannot export every network so
        pass
    paddle.device.set_device(device)
    model = create_model(id, **small_arguments(id))  # on the GPU
    load_weights(model, tmp_path / "weights.pdparams")
    eager, spec = EagerNetwork(model), model.spec
    rng = np.random.default_rng(0)
    cases = []
    for batch, height, width in ((1, 4, 4), (1, 8, 6), (2, 5, 9)):
        unit = -(-8 // spec.multiple) * spec.multiple
        inputs = [rng.random((batch, spec.in_channels, height * unit, width * unit), np.float32)]
        if spec.latent:
            inputs.append(rng.standard_normal((batch, *spec.latent.shape(*inputs[0].shape[2:])), np.float32))
        cases.append((inputs, eager(*inputs)))
    for backend, precision, tolerance in PRECISIONS:
        if (device == "cpu" and (backend, precision) != ("paddle", "fp32")) or backend not in folders:
            continue
        try:
            network = open_network(folders[backend], backend, device, precision)
        except UserError as error:
            if "without TensorRT" in str(error):
                continue
            raise
        for inputs, expected in cases:
            scale = max(1.0, float(np.abs(expected).max()))
            difference = float(np.abs(network(*inputs) - expected).max())
            assert difference <= tolerance * scale, (backend, precision, difference)


def test_pictures_of_the_shipped_network(device, shipped):
    """This device and the CPU give the same picture but for rounding. Prints the time."""
    from paddle_restore import Restorer

    picture = np.random.default_rng(0).random((512, 768, 3)).astype(np.float32)
    here = Restorer(device=device)
    restored = here(picture)
    start = time.perf_counter()
    for _ in range(3):
        here(picture)
    print(f"denoiser of the package, 512x768, {device}: {(time.perf_counter() - start) / 3:.3f} s a picture")
    np.testing.assert_allclose(restored, Restorer(device="cpu")(picture), atol=2e-3)
