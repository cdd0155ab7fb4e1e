"""Standard error while a C library is kept from printing to it: our own lines still arrive."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from paddle_restore.errors import line_of

_lock = threading.Lock()
_inside = 0  # threads that are in `quiet`
_kept = -1  # the true standard error, while there are any


@contextmanager
def quiet() -> Iterator[None]:
    """Send what C code prints to standard error nowhere. Several threads may be inside at once.

    The descriptor is the whole process's, so other threads report through `say`.
    """
    global _inside, _kept
    with _lock:
        if not _inside:
            sys.stderr.flush()
            _kept = os.dup(2)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                os.dup2(_kept, 2)
                os.close(_kept)


def say_error(error: object) -> None:
    """Print a user's mistake on standard error as one line."""
    say(f"error: {line_of(error)}")


def say(line: str) -> None:
    """Print a line on standard error, even while another thread is in `quiet`.

    Where that is closed, or a file on a full disk, nothing is said: no reason to end otherwise.
    """
    with _lock, suppress(OSError):
        if _inside and sys.stderr is sys.__stderr__:
            os.write(_kept, f"{line}\n".encode(errors="backslashreplace"))
        else:
            print(line, file=sys.stderr, flush=True)
