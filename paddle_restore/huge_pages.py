"""Memory in pages of 2 MB, not 4 KB, where Linux gives them to processes that ask (its mode `madvise`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""What a process is to be started with, so that its large pieces of memory come in huge pages."""

_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def ask_for_huge_pages() -> None:
    """Start this command anew, as the same process, with glibc told to ask for huge pages; once.

    Layers' outputs are tens of megabytes each, and malloc maps most of them anew. Page by page that costs
    up to a quarter of the time (docs/backends.md). glibc (2.35 on) reads what it is told only when a process
    starts. A GLIBC_TUNABLES that is set, be it empty, is left alone.
    """
    command = getattr(sys, "orig_argv", None)  # Python 3.10 on
    if not command or "GLIBC_TUNABLES" in os.environ:
        return
    if not (_MODE.exists() and "[madvise]" in _MODE.read_text()):
        return
    os.environ.update(ENVIRONMENT)
    os.execv(sys.executable, [sys.executable, *command[1:]])
