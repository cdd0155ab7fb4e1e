"""One training in a run folder at a time."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

from paddle_restore.data.files import make_folder
from paddle_restore.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder inside the block. Raises UserError if another process holds it.

    The lock is a POSIX record lock of the file `.lock`: it ends with its process, however that ends, data
    workers do not inherit it, and network file systems know it. On a file system without locks there is none.
    """
    if fcntl is None:
        yield
        return
    make_folder(folder)
    path = folder / LOCK
    handle = _acquire(path)
    try:
        yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()  # before the lock ends: who opened the file meanwhile sees that it has gone
            os.close(handle)


def _acquire(path: Path) -> Optional[int]:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise UserError(
                    f"{path.parent}: another training runs in this folder ({owner or 'unknown process'}); "
                    "wait until it has ended, or choose another --output_dir"
                ) from None
            return None
        if _same_file(handle, path):
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            return handle
        os.close(handle)  # the former owner has removed it


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
