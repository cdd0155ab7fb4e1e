"""Standard output that may end before the work does, as in `paddle-restore restore ... | head -1`."""

from __future__ import annotations

import io
import os
import stat
import sys


class _Pipe(io.RawIOBase):
    """A pipe. What is written after its reader has gone is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data) -> int:
        try:
            return os.write(self._descriptor, data)
        except BrokenPipeError:
            return len(data)


def survive_closed_pipe() -> None:
    """Let a closed pipe end the printing and not the work. Anything but a pipe stays as it is."""
    output = sys.stdout
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(output.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):  # None, closed, or not a file
        return
    if is_pipe:
        output.flush()
        buffered = io.BufferedWriter(_Pipe(output.fileno()))
        sys.stdout = io.TextIOWrapper(buffered, output.encoding, output.errors, write_through=False)
