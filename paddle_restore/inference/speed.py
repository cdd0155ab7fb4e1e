"""How long a network takes on this machine, measured before long work begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from paddle_restore.arithmetic import round_up
from paddle_restore.inference.forward import Forward
from paddle_restore.inference.inputs import NetworkInput

_SIDE = 128
_LONG_WORK = 1_000_000  # pixels of a network from which on its time is measured
_LONG_SECONDS = 60.0  # from which on it is said before


def seconds_per_pixel(forward: Forward) -> float:
    """Return the seconds that the network takes for each of its input pixels (see `Forward.work`).

    Two windows of about 128x128 input pixels are run: the first one of a network is slower. Raises UserError
    where the network cannot take them.
    """
    spec, seconds = forward.spec, []
    side = round_up(_SIDE, spec.multiple)
    arrays = [np.full((1, spec.in_channels, side, side), 0.5, np.float32)]
    if spec.latent:
        arrays.append(np.zeros((1, *spec.latent.shape(side, side)), np.float32))
    for _ in range(2):
        start = time.perf_counter()
        forward.call(*arrays)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / side**2


def duration_text(seconds: float) -> str:
    """Return seconds as text for people: "40 seconds", "8 minutes", "3 hours"."""
    for unit, length, limit in (("second", 1, 100), ("minute", 60, 100), ("hour", 3600, float("inf"))):
        count = max(1, round(seconds / length))
        if count < limit:
            return f"{count} {unit}{'s' if count != 1 else ''}"
    raise AssertionError


class Clock:
    """Says what long work will take before it begins, and on a terminal what is left of a list of files."""

    def __init__(self, forward_of: Callable[[NetworkInput], Forward]):
        """`forward_of` returns the network of an input."""
        self._forward_of = forward_of
        self._per_pixel: dict[str, float] = {}  # seconds, by the network's id
        self._told = False
        self.files, self.title = 0, ""

    def start(self, files: int) -> None:
        self.files, self._done, self._started = files, 0, time.perf_counter()

    def begin(self, name: str, inputs: Sequence[NetworkInput]) -> None:
        """Note what the networks get next. A network's time is measured where it may be long."""
        self._work: dict[str, int] = {}
        seconds = 0.0
        for input in inputs:
            forward, work = self._forward_of(input), self._forward_of(input).work(*input.picture_size)
            id = forward.spec.id
            self._work[id] = self._work.get(id, 0) + work
            if work > _LONG_WORK and id not in self._per_pixel:
                self._per_pixel[id] = seconds_per_pixel(forward)
            seconds += self._per_pixel.get(id, 0.0) * work
        self._begun = time.perf_counter()
        if seconds > _LONG_SECONDS and not self._told:
            self._told = True
            height, width = inputs[0].picture_size
            more = f", the first of {self.files} files," if self.files > 1 else ""
            print(
                f"note: {name} ({width}x{height} pixels){more} will take {' and '.join(self._work)} about "
                f"{duration_text(seconds)} on this machine",
                flush=True,
            )
        self.title = name
        if self.files > 1:
            left = (self._begun - self._started) / self._done * (self.files - self._done) if self._done else 0
            self.title += f" ({self._done + 1} of {self.files}"
            self.title += f", {duration_text(left)} left)" if left else ")"

    def end(self, files: int) -> None:
        """Note that the networks are done with what they got, which was of `files` files."""
        self._done += files
        for id, work in self._work.items():
            if len(self._work) == 1 and work > _LONG_WORK:
                self._per_pixel[id] = (time.perf_counter() - self._begun) / work
