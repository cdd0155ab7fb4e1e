"""Being asked to stop: SIGTERM and SIGUSR1, as clusters send them before they take a machine away."""

from __future__ import annotations

import signal
from typing import Any

STOPPED = 75
"""Exit code of a training that was asked to stop and has saved: EX_TEMPFAIL of sysexits.h, "try again"."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):
    """The training was asked to stop; its checkpoint is written."""


class StopRequest:
    """Whether this process was asked to stop. Nothing is done in the signal's handler itself."""

    def __init__(self) -> None:
        self.signal = ""

    @property
    def requested(self) -> bool:
        return bool(self.signal)

    def listen(self) -> StopRequest:
        """Take SIGNALS from here on."""
        for number in SIGNALS:
            signal.signal(number, self._note)
        return self

    def leave(self) -> None:
        """Ignore SIGNALS from here on: all is saved, and one of them would change the exit code."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, frame: Any) -> None:
        self.signal = signal.Signals(number).name
