"""The C++ program is built, and compared with the Python restorer: deploy/cpp/test.sh."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "deploy/cpp"


CHANGES = """\
#!{python}
import subprocess, sys
import cv2
done = subprocess.run([{program!r}, *sys.argv[1:]])
if not done.returncode:
    path = sys.argv[sys.argv.index("--output") + 1]
    picture = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    picture[-1, -1] ^= 2
    cv2.imwrite(path, picture)
sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Build the program once; skip where something is missing that it needs."""
    for tool in ("cmake", "g++", "bash"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    for library in ("openvino", "paddle2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(library, reason=f"needs {library}")
    build = tmp_path_factory.mktemp("cpp") / "build"
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "BUILD": str(build)}
    done = run(environment, "bash", FOLDER / "build.sh")
    missing = re.search(
        r"Could not find (OPENCV\w+)|Could NOT find (ZLIB)|provided by\s+\"([\w-]+)\"", done.stderr
    )
    if done.returncode and missing:
        pytest.skip(
            f"needs {next(filter(None, missing.groups()))}: deploy/cpp/README.md says what to install"
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return environment


def run(environment: dict, *command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, timeout=600
    )


@pytest.mark.parametrize("part", ["mirnet", "sid_unet", "shipped", "windows", "refusals"])
def test_it_gives_the_python_restorers_pixels(environment, part):
    done = run(environment, "bash", FOLDER / "test.sh", part)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.endswith("all equal within 1/255\n")


def test_one_wrong_pixel_is_found(environment, tmp_path):
    program = tmp_path / "restore"
    program.write_text(CHANGES.format(python=sys.executable, program=f"{environment['BUILD']}/restore"))
    program.chmod(0o755)
    done = run(environment, sys.executable, FOLDER / "compare.py", "--program", program, "mirnet")
    assert done.returncode == 1
    assert "FAILED mirnet: mirnet, 61x37x3_8bit.png, tile none" in done.stderr
