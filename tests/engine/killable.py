"""Run by test_killed.py in a process of its own: trains a recipe in child processes and kills them.

    python -m tests.engine.killable RECIPE FOLDER KILLS [OVERRIDE ...]

Paddle is imported once, and each attempt is a fork: it resumes as `--resume auto` does and is killed
with SIGKILL, in turn before a random change of folders and at a random call while a checkpoint is
written, and after a random time. When it was killed so often, it may come to its end. Prints a line
of JSON about each attempt.
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

from paddle_restore.engine import trainer
from paddle_restore.engine.checkpoint import choose_checkpoint
from paddle_restore.engine.config import load_config
from paddle_restore.engine.trainer import train

save_checkpoint = trainer.save_checkpoint


CHANGES = ("mkdir", "rename", "unlink", "rmdir")


def kill_while_saving(rng: random.Random, changes: bool) -> None:
    """Die within one of the next checkpoints: before a random change of folders, or at a random call."""
    saves = rng.randrange(3)
    calls = rng.randrange(11 if changes else 2500)  # about as many as a checkpoint makes

    def count(*_):
        nonlocal calls
        calls -= 1
        if calls < 0:
            os.write(1, b"while saving\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def save(*args):
        nonlocal saves
        saves -= 1
        if saves < 0 and changes:
            for name in CHANGES:
                setattr(os, name, before(count, getattr(os, name)))
        elif saves < 0:
            sys.setprofile(count)
        save_checkpoint(*args)
        if saves < 0:
            os.write(1, b"after saving\n")
            os.kill(os.getpid(), signal.SIGKILL)

    trainer.save_checkpoint = save


def say_when_iterations_end() -> None:
    """Write a byte now and one after each iteration."""
    after = trainer.Trainer.after_iteration

    def after_iteration(*args, **kwargs):
        after(*args, **kwargs)
        os.write(1, b".")

    trainer.Trainer.after_iteration = after_iteration
    os.write(1, b".")


def before(first, then):
    def call(*args, **kwargs):
        first()
        return then(*args, **kwargs)

    return call


def attempt(config, folder: Path, rng: random.Random, how: str) -> dict:
    """Fork a training and kill it; return what became of it."""
    reading, writing = os.pipe()
    rng = random.Random(rng.random())
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        if how in ("changes", "calls"):
            kill_while_saving(rng, how == "changes")
        with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
            resume = choose_checkpoint(folder, "auto", False)
            if how == "time":
                say_when_iterations_end()
            train(config, folder, resume)
        os._exit(0)
    os.close(writing)
    output = b""
    if how == "time":
        # Counted in iterations, or on a fast machine the run would be over before it was killed so often.
        iterations = rng.randrange(3)
        for _ in range(1 + iterations):
            os.read(reading, 1)
        time.sleep(rng.uniform(0, 0.02 if iterations else 0.1))
        os.kill(child, signal.SIGKILL)
        output = b"at any time "
    output += os.read(reading, 100)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return {"how": output.decode().strip(), "status": status}


def main() -> None:
    recipe, folder, kills, *overrides = sys.argv[1:]
    config = load_config(Path(recipe), tuple(overrides))
    rng = random.Random(int(kills))
    for number in range(int(kills)):
        result = attempt(config, Path(folder), rng, ("changes", "calls", "time")[number % 3])
        print(json.dumps(result), flush=True)
    print(json.dumps(attempt(config, Path(folder), rng, "")), flush=True)


if __name__ == "__main__":
    main()
