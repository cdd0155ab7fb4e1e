"""What networks cost, against the published numbers and counts by hand."""

from __future__ import annotations

import subprocess
import sys

import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_restore.metrics.complexity import measure_cost
from paddle_restore.metrics.resources import measure_latency
from paddle_restore.models import ModelSpec, create_model
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("id", "factor", "parameters", "direct", "published"),
    [("sid_unet", 2, 7_760_748, 387.62, 440.46), ("lamba", 1, 784_768, 41.23, 41.38)],
)
def test_the_published_counts_of_a_2048x4096_frame(id, factor, parameters, direct, published):
    """Lamba and Mitra, CVPR 2021, Table 1; a packed frame has half the height and width."""
    cost = measure_cost(create_model(id))
    assert cost.parameters == parameters
    assert cost.macs(2048 // factor, 4096 // factor) / 1e9 == pytest.approx(direct, abs=0.005)
    assert cost.macs(2048 // factor, 4096 // factor, "ptflops") / 1e9 == pytest.approx(published, abs=0.005)


class Mixed(nn.Layer):
    """One of everything that counts, and a part that works on pooled values."""

    def __init__(self):
        super().__init__()
        self.spec = ModelSpec("mixed", "srgb", 1, 8, "global", "", "", "")
        self.conv = nn.Conv2D(3, 6, 3, padding=1, stride=2, groups=3)
        self.up = nn.Conv2DTranspose(6, 4, 2, stride=2, bias_attr=False)
        self.gate = nn.Linear(4, 4)
        self.kernel = self.create_parameter([3, 4, 1, 1])

    def forward(self, x):
        x = self.up(F.relu(self.conv(F.max_pool2d(x, 1))))
        x = x * self.gate(x.mean(axis=[2, 3])).unsqueeze([2, 3])
        return F.conv2d(x, self.kernel)


def test_counts_by_hand():
    height, width = 24, 40
    pixels = height * width
    conv, up, gate, last = pixels // 4 * 6 * 9, pixels // 4 * 6 * 4 * 4, 16, pixels * 12
    model = Mixed()
    original = F.conv2d
    cost = measure_cost(model)
    assert cost.macs(height, width) == conv + up + gate + last
    more = pixels // 4 * 6 + 3 * up + 4  # biases, and the transposed convolution at its output's size
    more += pixels // 4 * 6 + 3 * pixels  # relu, pooling
    assert cost.macs(height, width, "ptflops") == conv + up + gate + last + more
    assert cost.parameters == 6 * 9 + 6 + 6 * 4 * 4 + 20 + 12
    assert F.conv2d is original  # counting leaves nothing behind
    assert model.training


def test_counting_does_not_depend_on_the_size_it_was_made_at():
    cost = measure_cost(create_model("sid_unet", width=4))
    model, side = create_model("sid_unet", width=4), 48
    model.spec = ModelSpec(**{**model.spec.to_dict(), "multiple": side, "latent": None})
    assert measure_cost(model).macs(side, 2 * side) == cost.macs(side, 2 * side)


def test_latency():
    calls = []
    latency = measure_latency(lambda: calls.append(1), trials=9, warmup=2)
    assert len(calls) == 11
    assert latency.min <= latency.lower_quartile <= latency.median <= latency.upper_quartile <= latency.max


def test_memory_is_that_of_the_process():
    """In a process of its own, where nothing that earlier tests freed can be used again."""
    code = (
        "import numpy as np\n"
        "from paddle_restore.metrics.resources import peak_memory, resident_memory\n"
        "before = resident_memory()\n"
        "big = np.ones((16, 1024, 1024), np.float32)\n"
        "print((peak_memory() - before) / big.nbytes)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.9 <= float(done.stdout) <= 1.5
