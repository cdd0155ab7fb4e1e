"""What C libraries print is kept away, and our own lines are not, whatever other threads do."""

from __future__ import annotations

import subprocess
import sys

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
