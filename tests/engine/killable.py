"""Run by test_killed.py in a process of its own: trains a recipe in child processes and kills them.

    python -m tests.engine.killable RECIPE FOLDER KILLS [OVERRIDE ...]

Paddle is imported once, and each attempt is a fork: it resumes as `--resume auto` does and is killed
with SIGKILL, in turn after a random time and at a random call while a checkpoint is written. When it
was killed so often, it may come to its end. Prints a line of JSON about each attempt.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import visualdl  # noqa: F401  it takes a second

from paddle_restore.engine import run as engine_run
from paddle_restore.engine.config import load_config
from paddle_restore.engine.folder import choose_checkpoint
from paddle_restore.engine.trainer import train

save_checkpoint = engine_run.save_checkpoint


def kill_while_saving(rng: random.Random) -> None:
    """Die at a random call of Python's within one of the next checkpoints."""
    left = rng.randrange(3)

    def save(*args):
        nonlocal left
        left -= 1
        if left >= 0:
            return save_checkpoint(*args)
        calls = rng.randrange(2500)  # more than a checkpoint makes: some die just after it

        def count(frame, event, argument):
            nonlocal calls
            calls -= 1
            if calls < 0:
                os.write(1, b"while saving\n")
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        save_checkpoint(*args)
        sys.setprofile(None)
        os.write(1, b"after saving\n")
        os.kill(os.getpid(), signal.SIGKILL)

    engine_run.save_checkpoint = save


def attempt(config, folder: Path, rng: random.Random, how: str) -> dict:
    """Fork a training and kill it; return what became of it."""
    reading, writing = os.pipe()
    seconds = rng.uniform(0, 0.5)
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        if how == "saving":
            kill_while_saving(rng)
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
            resume = choose_checkpoint(folder, "auto", False)
            if how == "time":
                os.write(1, b"at any time\n")
            train(config, folder, resume)
        os._exit(0)
    os.close(writing)
    said = b""
    if how == "time":
        said = os.read(reading, 100)  # it has begun
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    said += os.read(reading, 100)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return {"how": said.decode().strip(), "status": status}


def main() -> None:
    recipe, folder, kills, *overrides = sys.argv[1:]
    config = load_config(Path(recipe), tuple(overrides))
    rng = random.Random(int(kills))
    for number in range(int(kills)):
        result = attempt(config, Path(folder), rng, ("saving", "time")[number % 2])
        rng.random()
        print(json.dumps(result), flush=True)
    print(json.dumps(attempt(config, Path(folder), rng, "")), flush=True)


if __name__ == "__main__":
    main()
