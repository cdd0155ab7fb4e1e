"""The TIPC scripts in a folder of their own, with a stand-in for Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Fails in the command that $BROKEN names; prints $OUTPUT and enough lines for `tee` to end last.
STAND_IN = """#!/bin/sh
echo "$@" >> "$CALLS"
echo "${CUDA_VISIBLE_DEVICES-all}: $*" >> "$CALLS.gpus"
echo "$OUTPUT"
seq 1 2000
case "$*" in *"/$BROKEN"*) echo "planted" >&2; exit 3 ;; esac
case "$*" in *"paddle_restore serve"*)
  [ "$BROKEN" = serve ] && exit 0 # at once, and without complaint
  trap '[ "$BROKEN" = end ] && exit 3; exit 0' TERM
  echo "serving it at http://127.0.0.1:1"
  sleep 20 > /dev/null 2>&1 &
  wait ;;
esac
"""


@pytest.fixture
def tipc(tmp_path):
    """Run a TIPC script in a copy of the folder, under a path with blanks, without Paddle."""
    root = tmp_path / "a path with blanks"
    ignored = shutil.ignore_patterns("data", "output")
    shutil.copytree(ROOT / "test_tipc", root / "test_tipc", ignore=ignored)
    shutil.copytree(ROOT / "configs", root / "configs")
    tools = root / "my tools"
    tools.mkdir()

    def program(name: str, text: str) -> Path:
        path = tools / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    stand_in = program("python", STAND_IN)
    calls = root / "calls.txt"

    def run(script: str, *words: str, broken: str = "nothing", gpus: int = 0, **variables: str):
        listed = "".join(f"echo 'GPU {n}: of no kind'\n" for n in range(gpus))
        program("nvidia-smi", f"#!/bin/sh\n{listed}")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("TIPC_", "CUDA_"))}
        environment = {
            **kept,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHON": str(stand_in),
            "CALLS": str(calls),
            "BROKEN": broken,
            "OUTPUT": "",
            **variables,
        }
        done = subprocess.run(
            ["bash", str(root / "test_tipc" / script), *words],
            env=environment,
            cwd=tmp_path,  # the scripts find their repository from wherever they are called
            capture_output=True,
            text=True,
            timeout=60,
        )
        done.calls = calls.read_text().splitlines() if calls.exists() else []
        done.gpus = Path(f"{calls}.gpus").read_text().splitlines() if calls.exists() else []
        return done

    run.root = root
    return run


@pytest.fixture
def data(tmp_path):
    """File names of a SID set and of a folder of pairs, under a path that YAML would misread unquoted."""
    root = tmp_path / "somebody's data: #1"
    for set_name, suffix in (("Sony", "ARW"), ("Fuji", "RAF")):
        lines = []
        for number in range(3):
            names = [
                f"{set_name}/{kind}/1000{number}_00_{s}s.{suffix}"
                for kind, s in (("short", 0.1), ("long", 10))
            ]
            for name in names:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).touch()
            lines.append(f"./{names[0]} ./{names[1]} ISO200 F8")
        (root / f"{set_name}_test_list.txt").write_text("\n".join(lines) + "\n")
    for part in ("Noisy", "GT"):
        (root / "val_mini" / part).mkdir(parents=True)
        for number in range(3):
            (root / "val_mini" / part / f"0_{number}.PNG").touch()
    (root / "train_mini").mkdir()
    return root
