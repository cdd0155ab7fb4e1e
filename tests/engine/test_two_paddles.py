"""Paddle 2.6 and 3.3 read what the other wrote, and start from the same weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from paddle_restore import create_model
from paddle_restore.data.image import write_image
from paddle_restore.engine.checkpoint import load_checkpoint
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import open_network
from paddle_restore.weights import load_pdparams
from tests.conftest import ROOT
from tests.golden.two_paddles import FOLDER, VERSIONS, build, picture, step

OLD = FOLDER / "paddle-2.6.2"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_checkpoint_of_either_version_is_trained_on(version):
    """Weights and Adam's moments: the third step is that of a run which was never stopped."""
    model, optimizer, scaler = build()
    for _ in range(3):
        step(model, optimizer)
    resumed, its_optimizer, _ = build()
    run = SimpleNamespace(model=resumed, optimizer=its_optimizer, scaler=scaler, ema=None)
    state = load_checkpoint(FOLDER / f"paddle-{version}" / "checkpoint", run)
    assert state.iteration == 2
    step(resumed, its_optimizer)
    for (name, expected), got in zip(model.state_dict().items(), resumed.state_dict().values()):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=0, atol=1e-5, err_msg=name)


def test_an_export_of_paddle_2_runs():
    model, _, _ = build()
    model.set_state_dict(load_pdparams(OLD / "checkpoint/model.pdparams"))
    with paddle.no_grad():
        expected = model(paddle.to_tensor(picture())).numpy()
    np.testing.assert_allclose(open_network(OLD / "export", threads=1)(picture()), expected, atol=1e-5)


def test_paddle_2_refuses_an_export_of_paddle_3(tmp_path, monkeypatch):
    """Paddle itself would end with a segmentation fault."""
    folder = tmp_path / "export"
    shutil.copytree(OLD / "export", folder)
    (folder / "model.pdmodel").rename(folder / "model.json")
    manifest = (folder / "inference.yml").read_text()
    (folder / "inference.yml").write_text(manifest.replace("model.pdmodel", "model.json"))
    monkeypatch.setattr(paddle, "__version__", "2.6.2")
    with pytest.raises(UserError, match=r"Paddle 2\.6\.2 cannot read"):
        open_network(folder)


def test_pictures_are_read_when_paddle_is_imported_before_what_reads_them(tmp_path):
    """Paddle 2.6.2's zlib must not take the place of Pillow's and OpenCV's."""
    write_image(tmp_path / "8.png", np.ones((4, 5, 3)))
    write_image(tmp_path / "16.png", np.ones((4, 5, 3)), depth=16)
    script = (
        "import paddle_restore, paddle, sys; from paddle_restore.data.image import read_image; "
        "print(*(read_image(path).shape for path in sys.argv[1:]))"
    )
    words = (sys.executable, "-c", script, tmp_path / "8.png", tmp_path / "16.png")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout == "(4, 5, 3) (4, 5, 3)\n", done.stderr


FRESH = {
    "invdn": -25.096268,
    "lamba": 48.686590,
    "mirnet": 32.689123,
    "mirnet_v2": -46.825289,
    "sid_unet": -0.168366,
    "sid_unet_xtrans": 6.474039,
}


@pytest.mark.parametrize("id", sorted(FRESH))
def test_the_same_seed_gives_the_same_weights(id):
    """By either version; the sum tells other values, other scales and another order apart."""
    paddle.seed(0)
    values = np.concatenate([p.numpy().ravel() for p in create_model(id).parameters()]).astype(np.float64)
    assert values @ np.cos(np.arange(values.size)) == pytest.approx(FRESH[id], abs=1e-4)


def test_sids_transposed_convolutions_are_drawn_within_two_deviations():
    weight = create_model("sid_unet").up[0].conv.weight.numpy()
    assert abs(weight).max() <= 0.04
    assert weight.std() == pytest.approx(0.02 * 0.8796, rel=0.02)  # of a normal cut at +-2
