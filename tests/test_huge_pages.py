"""Commands run in huge pages where Linux gives them, and start no third time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paddle_restore import huge_pages

# What glibc read at the start is what the process was started with, which /proc shows.
SHOW = (
    "import sys; from paddle_restore.huge_pages import ask_for_huge_pages; ask_for_huge_pages();"
    "print(b'hugetlb=1' in open('/proc/self/environ', 'rb').read(), sys.argv[1:])"
)


def start(**environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", SHOW, "a b", "--c"]
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 does not know its own command line")
@pytest.mark.skipif(
    not huge_pages._MODE.exists() or "[madvise]" not in huge_pages._MODE.read_text(),
    reason="this system gives huge pages to all or to none",
)
def test_a_command_starts_anew_with_its_arguments():
    assert start() == "True ['a b', '--c']"


def test_what_the_user_says_is_left_alone():
    assert start(GLIBC_TUNABLES="") == "False ['a b', '--c']"
