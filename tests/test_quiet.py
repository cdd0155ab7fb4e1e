"""What C libraries print is kept away, and our own lines are not, whatever other threads do."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

CODE = """
import os, threading
from paddle_restore.quiet import quiet, say

first, second, out = threading.Event(), threading.Event(), threading.Event()

def reader():
    with quiet():
        first.set()
        second.wait()
        os.write(2, b"from a library\\n")
        say("error: of the main thread's, meanwhile")

thread = threading.Thread(target=reader)
thread.start()
first.wait()
with quiet():  # begins while the other is inside, and ends after it
    second.set()
    thread.join()
    os.write(2, b"from a library\\n")
say("error: afterwards")
os.write(2, b"no longer quiet\\n")
"""


def test_two_threads_are_quiet_and_our_lines_arrive():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines() == [
        "error: of the main thread's, meanwhile",
        "error: afterwards",
        "no longer quiet",
    ]


WARNING = """
import sys, types, warnings
from paddle_restore.cli import main as cli
from paddle_restore.quiet import quiet

def run(args):
    with quiet():  # as a thread that reads the next file does
        warnings.warn("a.dng: its noise profile makes no sense")
    return 0

command = types.SimpleNamespace(add_arguments=lambda parser: None, run=run)
cli.load_command = lambda name: command
cli.main("restore", [])
"""


def test_a_command_shows_a_warning_that_comes_while_another_thread_is_quiet():
    done = subprocess.run(
        [sys.executable, "-c", WARNING], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "warning: a.dng: its noise profile makes no sense\n")


def test_importing_from_the_package_prints_nothing_and_keeps_the_root_logger():
    """Paddle's import advises to install a compiler cache, and sets the root logger to INFO."""
    program = """
import logging
before = logging.getLogger().handlers[:], logging.getLogger().level
from paddle_restore import Restorer, create_model
assert (logging.getLogger().handlers, logging.getLogger().level) == before
import sys
assert "paddle" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_export_prints_nothing_of_paddles_source(tmp_path):
    program = f"""
from paddle_restore import create_model
from paddle_restore.inference.export import export
from paddle_restore.inference.package import Preprocess
export(create_model("mirnet_v2_small", width=8, groups=[1]), {str(tmp_path / "out")!r}, "small", Preprocess())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
