"""Memory in pages of 2 MB instead of 4 KB, if Linux gives them to processes that request them (`madvise`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Environment in which glibc requests huge pages for large allocations."""

_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ask_for_huge_pages() -> None:
    """Restart this command once, in the same process, with glibc set to request huge pages.

    The outputs of layers are tens of megabytes each, and malloc maps most of them again. Small pages cost up
    to a quarter of the time (docs/backends.md). glibc 2.35 or newer reads the setting only when a process
    starts. An existing GLIBC_TUNABLES is kept, even if it is empty.
    """
    command = getattr(sys, "orig_argv", None)  # since Python 3.10
    if not command or "GLIBC_TUNABLES" in os.environ:
        return
    if not (_MODE.exists() and "[madvise]" in _MODE.read_text()):
        return
    os.environ.update(ENVIRONMENT)
    os.execv(sys.executable, [sys.executable, *command[1:]])
