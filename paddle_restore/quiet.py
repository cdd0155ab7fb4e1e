"""Keep libraries from printing about a broken file, and restore their settings afterwards."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

from paddle_restore.errors import line_of

_lock = threading.Lock()
_stderr = -1  # the original standard error, while threads are in `quiet`


class _Shared:
    """A process-wide setting that several threads may need at once; the last one to leave restores it."""

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        self.change, self.threads, self.undo = change, 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with _lock:
            if not self.threads:
                self.undo.enter_context(self.change())
            self.threads += 1
        try:
            yield
        finally:
            with _lock:
                self.threads -= 1
                if not self.threads:
                    self.undo.close()


@contextmanager
def _no_stderr() -> Iterator[None]:
    global _stderr
    sys.stderr.flush()
    _stderr = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(_stderr, 2)
        os.close(_stderr)


@contextmanager
def _no_library_log() -> Iterator[None]:
    import cv2

    # OpenCV 5's place, or OpenCV 4's.
    opencv_log = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2
    tiff_log = logging.getLogger("tifffile")
    level, disabled = opencv_log.getLogLevel(), tiff_log.disabled
    opencv_log.setLogLevel(0)
    tiff_log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
            yield
    finally:
        tiff_log.disabled = disabled
        opencv_log.setLogLevel(level)


quiet = _Shared(_no_stderr)
"""`with quiet():` discards what C code prints to standard error.

It holds for the whole process, so other threads report through `say`.
"""

quiet_libraries = _Shared(_no_library_log)
"""`with quiet_libraries():` turns off the messages of OpenCV and tifffile, and Pillow's warnings."""


def say_error(error: object) -> None:
    """Print a user error on standard error as one line."""
    say(f"error: {line_of(error)}")


def say(line: str) -> None:
    """Print a line on standard error, even while another thread is in `quiet`.

    Does nothing if standard error is closed, or is a file on a full disk.
    """
    with _lock, suppress(OSError):
        if quiet.threads and sys.stderr is sys.__stderr__:
            os.write(_stderr, f"{line}\n".encode(errors="backslashreplace"))
        else:
            print(line, file=sys.stderr, flush=True)
