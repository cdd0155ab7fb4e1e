"""What the installed package offers, and what it says where Paddle is missing."""

from __future__ import annotations

import subprocess
import sys

import paddle_restore
from tests.conftest import ROOT


def test_the_names_that_others_rely_on():
    assert {"sid_unet", "sid_unet_xtrans"} <= set(paddle_restore.list_models())
    model = paddle_restore.create_model("sid_unet", width=4)
    assert model.spec.input == "bayer"


def test_without_paddle_the_import_says_what_to_install():
    code = (
        "import sys, importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'paddle' else find(name, *rest)\n"
        "import paddle_restore"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "pip install 'paddle_restore[cpu]'" in done.stderr.splitlines()[-1]
