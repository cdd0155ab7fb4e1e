"""SIGTERM and SIGUSR1, by which a cluster asks a training to stop. Does not import Paddle."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Optional

STOPPED = 75
"""Exit code of a training that was asked to stop and has saved: EX_TEMPFAIL of sysexits.h, "try again"."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


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
