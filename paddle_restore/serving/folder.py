"""The private folder of a service, for the files of its requests."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

_PREFIX = "paddle-restore-"


@contextmanager
def private_folder() -> Iterator[Path]:
    """Give a folder (mode 0700, below TMPDIR) that is removed at the end.

    Folders of services that were killed are removed first. A service locks its folder; the system removes
    the lock when the process ends, however it ends.
    """
    remove_left_folders()
    folder, lock = _new_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_left_folders() -> None:
    """Remove the folders below TMPDIR that belong to this user and to no running service."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            lock = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _new_folder() -> tuple[Path, Optional[int]]:
    """Make a folder; return it and the descriptor that holds its lock (None on a disk without locks)."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another service, which starts now, has taken it for a left one, and removes it
        except OSError:
            return folder, None
        if folder.exists():
            return folder, lock
        os.close(lock)


def _lock(folder: Path) -> int:
    """Lock a folder; return the descriptor that holds the lock. Raises BlockingIOError if it is locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
