"""AutoLog's report, by a stand-in that measures as AutoLog 1.2.0 does: in a process that it spawns."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from paddle_restore.data.image import write_image
from paddle_restore.inference.report import Recorder
from paddle_restore.metrics import resources
from tests.conftest import ROOT

AUTO_LOG = """
import multiprocessing, os, time
class Times:
    def start(self): pass
    def stamp(self): pass
    def end(self, stamp): pass
class Memory:
    def __init__(self, pid, gpu): self.pid, self.gpu = pid, gpu
    def loop(self, queue):
        while True:
            queue.put([{str(self.pid): {"cpu_rss": 1.5}}, {str(self.gpu): {"memory.used": 7}}])
            time.sleep(0.05)
class AutoLogger:
    def __init__(self, **arguments):
        self.times, self.arguments = Times(), arguments
        context = multiprocessing.get_context("spawn")
        self.queue = context.Queue()
        memory = Memory(arguments["pids"], arguments["gpu_ids"])
        self.process = context.Process(target=memory.loop, args=(self.queue,))
        self.process.start()
    def report(self):
        cpu, gpu = self.queue.get()
        self.process.kill()
        print("stand-in:", cpu[str(os.getpid())]["cpu_rss"], self.arguments["gpu_ids"])
"""


@pytest.fixture
def infer(tmp_path, shipped):
    """Run a command with `auto_log` installed: the name of a program, the source of auto_log, a picture."""

    def run(program, source=AUTO_LOG, content=None):
        package = tmp_path / "site" / "auto_log"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("from .autolog import *\n")
        (package / "autolog.py").write_text(source)
        picture = tmp_path / "a.png"
        write_image(picture, np.full((16, 16, 3), 0.5, np.float32))
        if content is not None:
            picture.write_bytes(content)
        words = ["--model_dir", shipped, "--input", picture, "--output", tmp_path / "out", "--device", "cpu"]
        path = os.pathsep.join([str(tmp_path / "site"), str(ROOT), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, *program, *map(str, words), "--benchmark", "true"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,  # without the guard in the main module it waits for ever
        )

    return run


@pytest.mark.parametrize("program", [("tools/infer.py",), ("-m", "paddle_restore", "infer")], ids=str)
def test_auto_log_spawns_its_process_and_the_command_ends(infer, program):
    done = infer(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "stand-in: 1.5 None"
    assert "bootstrapping phase" not in done.stderr


def test_a_run_that_fails_ends_too(infer):
    done = infer(["tools/infer.py"], content=b"no picture")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_our_report_replaces_that_of_a_dead_process(infer):
    done = infer(["tools/infer.py"], AUTO_LOG.replace("while True:", "while False:"))
    assert done.returncode == 0, done.stderr
    assert "[INFO] runtime_device: cpu" in done.stdout


def test_what_auto_log_lacks_is_one_line(infer):
    done = infer(["tools/infer.py"], "import GPUtil_of_a_test\n" + AUTO_LOG)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "auto_log is installed and lacks GPUtil_of_a_test; pip install" in done.stderr


def test_every_tool_is_guarded():
    """A spawned process imports the main module."""
    for path in [*sorted((ROOT / "tools").glob("*.py")), ROOT / "paddle_restore/__main__.py"]:
        text = path.read_text(encoding="utf-8")
        if "cli.main import main" in text:
            assert 'if __name__ == "__main__":\n    main(' in text, path


def test_the_gpu_of_the_report(tmp_path, monkeypatch):
    """With nvidia-smi's stand-in: the GPU that the process uses, under the number that nvidia-smi knows."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho "1234, 56"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert resources.physical_gpu(1) == 5
    recorder = Recorder("sid_unet", "gpu:1", 1)
    with recorder.step("inference"):
        pass
    assert "[INFO] cpu_rss(MB): " in "\n".join(recorder.lines())
    assert any("gpu_rss(MB): 1234.0000, gpu_util: 56%" in line for line in recorder.lines())
    assert (tmp_path / "asked").read_text().startswith("-i 5 ")
    program.write_text("#!/bin/sh\nexit 9\n")
    assert resources.gpu_usage(0) is None


def test_auto_log_gets_the_number_of_the_gpu(monkeypatch):
    import types

    given = {}
    module = types.ModuleType("auto_log")
    module.AutoLogger = lambda **arguments: given.update(arguments)
    module.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "auto_log", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    Recorder("sid_unet", "gpu:2", 1, config=object())
    assert given["gpu_ids"] == 2
    Recorder("sid_unet", "cpu", 1, config=object())
    assert given["gpu_ids"] is None
