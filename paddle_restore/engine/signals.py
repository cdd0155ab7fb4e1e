"""SIGTERM and SIGUSR1, by which a cluster asks a training to stop. Does not import Paddle."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Optional

STOPPED = 75
"""Exit code of a training that was asked to stop and has saved: EX_TEMPFAIL of sysexits.h, "try again"."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


_PR_SET_PDEATHSIG = 1  # linux/prctl.h
LAUNCHER_GRACE = 30.0
"""Seconds in which a process saves and ends after its launcher has gone."""


def end_with_launcher() -> None:
    """In a process of `paddle.distributed.launch`: when the launcher has gone, stop as by SIGTERM, then exit.

    A killed launcher cannot end its processes, and they would train on, or wait for each other. Call this
    early: the launcher may be killed while Paddle is imported. Until `joined` is called, the process is
    killed instead: while the processes find each other, they wait in C++ code, where no Python thread runs.
    """
    if _launched():
        threading.Thread(target=_watch_launcher, args=(os.getppid(),), daemon=True).start()
        _signal_at_parents_death(signal.SIGKILL)


def joined() -> None:
    """Say that the processes have found each other: from now on there may be something to save."""
    if _launched():
        _signal_at_parents_death(0)


def _launched() -> bool:
    """Whether the parent is Paddle's launcher, and not a shell that sets its variables and may end."""
    with suppress(OSError):
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
        return "PADDLE_TRAINER_ID" in os.environ and (b"launch" in command or b"fleetrun" in command)
    return False


def _signal_at_parents_death(number: int) -> None:
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def _watch_launcher(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAUNCHER_GRACE)
    os._exit(1)


class Stopped(Exception):
    """The training was asked to stop; its checkpoint is written."""


class StopRequest:
    """Remembers that a signal asked this process to stop; the training looks after each iteration."""

    def __init__(self) -> None:
        self.signal = ""

    @property
    def requested(self) -> bool:
        return bool(self.signal)

    def listen(self) -> None:
        """Handle SIGNALS from now on."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def ignore(self) -> None:
        """Ignore SIGNALS from now on: all is saved, and a signal would change the exit code."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, frame: Optional[FrameType]) -> None:
        self.signal = signal.Signals(number).name
