"""A service as users start it: a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from paddle_restore.data.image import write_image
from paddle_restore.data.synthetic.dng import write_dng
from tests.conftest import ROOT

try:
    import httpx
except ImportError:
    httpx = None  # the tests skip

STARTUP = 90


class Running:
    """A service's process and its address."""

    def __init__(self, words, token=None, temporary=None, wait=True, max_files=None):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment.pop("PADDLE_RESTORE_TOKEN", None)
        if token is not None:
            environment["PADDLE_RESTORE_TOKEN"] = token
        self.temporary = Path(temporary or tempfile.mkdtemp())
        environment["TMPDIR"] = str(self.temporary)
        command = [sys.executable, "-m", "paddle_restore", "serve", "--port", "0", "--threads", "1"]
        self.process = subprocess.Popen(
            [*command, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=max_files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (max_files,) * 2)),
        )
        self.errors: list[str] = []
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()
        if not wait:
            return
        watch = threading.Timer(STARTUP, self.process.kill)
        watch.start()
        self.started = self.process.stdout.readline()
        watch.cancel()
        found = re.search(r"http://\S+", self.started)
        self.url = found[0] if found else ""
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def post(self, path="/v1/restore", **options):
        return self.client.post(path, **options)

    def metric(self, name):
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        raise AssertionError(name)

    def until(self, name, value, seconds=30):
        """Wait until a metric has a value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.metric(name) == value:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is {self.metric(name)}, not {value}")

    def worker_pids(self):
        import psutil

        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture(scope="session", autouse=True)
def _installed():
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx"):
        pytest.importorskip(name, reason=f"needs {name}: pip install 'paddle_restore[serve,dev]'")


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Two exported networks: mirnet_v2_small for pictures, sid_unet for raw files."""
    import paddle

    from paddle_restore import create_model
    from paddle_restore.inference.export import export
    from paddle_restore.inference.package import Preprocess

    paddle.seed(0)
    root = tmp_path_factory.mktemp("served")
    small = create_model("mirnet_v2_small", width=8, groups=[1])
    export(small, root / "mirnet", "mirnet_v2_small", Preprocess())
    export(create_model("sid_unet", width=4), root / "sid", "sid_unet", Preprocess())
    return root


@pytest.fixture(scope="session")
def service(exported, tmp_path_factory):
    """One worker, one place to wait, 2 MB, 1 megapixel, both models."""
    limits = ("--workers", 1, "--queue", 1, "--max_mb", 2, "--max_mp", 1, "--seconds", 300)
    words = ("--model_dir", exported / "mirnet", exported / "sid", *limits)
    running = Running(words, temporary=tmp_path_factory.mktemp("tmp"))
    assert running.url, running.errors
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """a.png (8 bits), deep.png (16), a.dng, large.png (too many pixels), slow.png (seconds of work)."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    write_image(folder / "a.png", rng.random((40, 56, 3)))
    write_image(folder / "deep.png", rng.random((40, 56, 3)), depth=16)
    write_dng(folder / "a.dng", rng.integers(500, 900, (66, 96)).astype(np.uint16), white_level=4095)
    write_image(folder / "large.png", np.zeros((1001, 1000, 3)))
    write_image(folder / "slow.png", np.kron(rng.random((48, 48, 3)), np.ones((8, 8, 1))))
    return folder
