"""What a GPU needs of training and inference, as far as it shows without one: stand-ins take its place."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import paddle_restore.engine.step as step_module
from paddle_restore.data.batches import seed_all
from paddle_restore.devices import check_device, check_device_name, gpu_number, is_gpu, use_device
from paddle_restore.engine import distributed
from paddle_restore.engine.config import load_config
from paddle_restore.engine.step import Step
from paddle_restore.engine.trainer import train
from paddle_restore.errors import UserError
from paddle_restore.inference.eager import EagerNetwork
from paddle_restore.models import create_model, list_models, small_arguments
from tests.engine.test_distributed import ONE_THREAD, end_of, launch, start
from tests.engine.test_faults import state_of
from tests.engine.test_step import batch, weights

# ---- mixed precision


@pytest.mark.parametrize("id", list_models())
def test_a_network_with_half_weights_is_evaluated(id):
    """`train.amp: O2` leaves half weights, from which `deployed()` makes layers."""
    paddle.seed(seed_all([0]))
    model = create_model(id, **small_arguments(id))
    half = {name: value.astype("float16") for name, value in model.state_dict().items()}
    for name, value in model.state_dict().items():
        value.set_value(half[name].astype(value.dtype))
    spec = model.spec
    shape = (1, spec.in_channels, 2 * spec.multiple, 2 * spec.multiple)
    inputs = [np.random.default_rng(0).random(shape, np.float32)]
    if spec.latent:
        inputs.append(np.zeros((1, *spec.latent.shape(*shape[2:])), np.float32))
    expected = EagerNetwork(model)(*inputs)
    model.to(dtype="float16")
    np.testing.assert_allclose(EagerNetwork(model)(*inputs), expected, atol=1e-6)
    assert {parameter.dtype for parameter in model.parameters()} == {paddle.float16}


class Scaler:
    """A loss scaler as Paddle's, which does nothing on a CPU."""

    def __init__(self, enable):
        self.enable, self.factor, self.steps, self.overflow = enable, 1024.0, 0, False

    def is_enable(self):
        return self.enable

    def scale(self, loss):
        return loss * self.factor

    def step(self, optimizer):
        gradients = [p.grad for p in optimizer._parameter_list if p.grad is not None]
        self.overflow = not all(bool(paddle.isfinite(g).all()) for g in gradients)
        if not self.overflow:
            for gradient in gradients:
                gradient.copy_(gradient / self.factor, False)
            optimizer.step()
            self.steps += 1

    def update(self):
        self.factor /= 2 if self.overflow else 1

    def state_dict(self):
        return {}


@pytest.fixture
def scaled(monkeypatch):
    monkeypatch.setattr(step_module, "on_gpu", lambda: True)
    monkeypatch.setattr(paddle.amp, "GradScaler", Scaler)
    return ("train.amp=O1",)


def test_an_overflow_lowers_the_scalers_factor_and_changes_no_weight(tiny_recipe, scaled):
    step = Step(load_config(tiny_recipe, scaled), create_model("sid_unet", width=4), world=1)
    whole = step.objective

    def infinite(model, part):  # its gradients are finite, as those of L1 are where the output is infinite
        return {name: loss + float("inf") for name, loss in whole(model, part).items()}

    before = weights(step)
    step.objective = infinite
    assert not step(batch(), 1e-3, 1).finite
    assert (step.scaler.steps, step.scaler.factor) == (0, 512)
    assert all((before[name] == value).all() for name, value in weights(step).items())
    step.objective = whole
    assert step(batch(), 1e-3, 2).finite
    assert (step.scaler.steps, step.scaler.factor) == (1, 512)


def test_an_overflow_does_not_end_a_run_by_default(tiny_recipe, scaled, tmp_path, monkeypatch):
    call, count = Step.__call__, iter(range(1000))

    def once_infinite(self, part, *rest, **flags):
        if next(count) == 1:
            part = {**part, "input": part["input"] + float("nan")}
        return call(self, part, *rest, **flags)

    monkeypatch.setattr(Step, "__call__", once_infinite)
    train(load_config(tiny_recipe, (*scaled, "eval.every=null")), tmp_path)
    assert state_of(tmp_path)["nonfinite"]["count"] == 1
    assert "skipped, 1 so far" in (tmp_path / "train.log").read_text()


# ---- several processes


def test_gradients_are_averaged_on_their_device(monkeypatch):
    """In Paddle 2.6 `set_value` and `numpy` copy through the host."""
    layer = paddle.nn.Linear(3, 2)
    layer(paddle.ones([1, 3])).sum().backward()
    expected = [2.5 * p.grad.numpy() for p in layer.parameters()]  # of two processes that sum to five times
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda tensor: tensor.scale_(5.0))
    with monkeypatch.context() as patch:
        for name in ("set_value", "numpy", "tolist", "item"):
            patch.setattr(paddle.Tensor, name, None)
        distributed.average_gradients(layer.parameters(), 2)
    for parameter, value in zip(layer.parameters(), expected):
        np.testing.assert_allclose(parameter.grad.numpy(), value)


GPU_BUILD = """
import sys
from paddle_restore.devices import use_device
import paddle
from paddle.base import core
core.is_compiled_with_cuda = paddle.is_compiled_with_cuda = lambda: True
use_device("cpu")
from paddle_restore.engine import distributed
rank, world = distributed.init()
joint = distributed.gather([rank], world)
assert paddle.get_device() == "cpu", paddle.get_device()
print("together", joint, flush=True)
"""


def test_a_launched_job_on_the_cpu_of_a_build_for_gpus(tmp_path, monkeypatch):
    """Two GPUs in the launcher's environment, none of which the processes may take."""
    monkeypatch.setitem(ONE_THREAD, "CUDA_VISIBLE_DEVICES", "-1,-1")
    script = tmp_path / "job.py"
    script.write_text(GPU_BUILD)
    process = start(*launch(tmp_path / "log", script))
    output = end_of(process, 120)
    assert process.returncode == 0, output
    for number in (0, 1):
        assert "together [0, 1]" in (tmp_path / f"log/workerlog.{number}").read_text()


def test_two_processes_on_one_gpu_are_one_line(monkeypatch):
    monkeypatch.setattr(distributed, "on_gpu", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "2")
    with pytest.raises(UserError, match=r"2 processes on a machine with 1 GPU\(s\).*--nproc_per_node 1"):
        distributed.init()


# ---- the number of a GPU


def test_the_names_of_devices():
    for name, number in (("gpu", 0), ("gpu:0", 0), ("gpu:12", 12)):
        assert check_device_name(name) == name
        assert (is_gpu(name), gpu_number(name)) == (True, number)
    assert not is_gpu(check_device_name("cpu"))
    for name in ("gpu:", "gpu:-1", "gpu:x", "cpu:0", "GPU", ""):
        with pytest.raises(UserError, match=r"no device .*; devices: cpu, gpu, gpu:N"):
            check_device_name(name)


def test_a_gpu_that_the_machine_does_not_have_is_one_line(monkeypatch):
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: 2)
    check_device("gpu:1")
    with pytest.raises(UserError, match=r"device gpu:2: this machine shows 2 GPU\(s\), gpu:0 to gpu:1"):
        check_device("gpu:2")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    with pytest.raises(UserError, match=r"the launcher gives each process its GPU; use --device gpu"):
        use_device("gpu:1")
