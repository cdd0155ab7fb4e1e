"""A short, seeded part of tests/fuzz.py; and it finds the faults that it looks for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import fuzz
from tests.conftest import ROOT


def run(program, *words):
    return subprocess.run(
        [sys.executable, program, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_no_reader_fails_on_a_few_damaged_files(tmp_path):
    done = run(ROOT / "tests/fuzz.py", "--count", 20, "--seed", 7, "--keep", tmp_path / "kept")
    assert done.returncode == 0, done.stdout
    assert f"{20 * len(fuzz.TARGETS)} files" in done.stdout
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_the_whole_files_are_read(tmp_path, name):
    """Else the fuzzer would damage files that are refused anyway."""
    target = fuzz.TARGETS[name]
    read = target.reader(tmp_path)
    seeds = target.seeds()
    assert seeds
    for seed in seeds:
        path = tmp_path / f"in{target.suffix}"
        path.write_bytes(seed)
        read(path)


PLANTED = """
import os, sys, time
from tests import fuzz

def reader(kind):
    def make(work):
        def read(path):
            if kind == "TRACEBACK":
                raise KeyError("x")
            if kind == "HANG":
                time.sleep(60)
            if kind == "DIED":
                os._exit(3)
            if kind == "MEMORY":
                bytearray(3 << 30)
            if kind == "ESCAPE":
                open("/tmp/../tmp/escaped_of_fuzz", "w").close()
            if kind == "BAD LINE":
                from paddle_restore.errors import UserError
                raise UserError("two\\nlines")
        return read
    return make

KINDS = ("TRACEBACK", "HANG", "DIED", "MEMORY", "ESCAPE", "BAD LINE")
for kind in KINDS:
    fuzz.TARGETS[kind] = fuzz.Target(".bin", lambda: [b"whole file"], reader(kind))
fuzz.Worker.program = __file__
fuzz.SECONDS, fuzz.IMPORT_SECONDS = 3, 3
sys.exit(fuzz.main())
"""


def test_it_finds_what_it_looks_for(tmp_path):
    script = tmp_path / "planted.py"
    script.write_text(PLANTED)
    kinds = ("TRACEBACK", "HANG", "DIED", "MEMORY", "ESCAPE", "BAD LINE")
    done = run(script, "--count", 1, "--keep", tmp_path / "kept", "--target", *kinds)
    assert done.returncode == 1, done.stderr
    for kind in kinds:
        assert f"{kind}: 1 {kind}" in done.stdout.splitlines(), done.stdout
    assert len(list((tmp_path / "kept").iterdir())) == len(kinds)
