"""What a run says: text log, metrics.jsonl, VisualDL, and a progress bar on a terminal."""

from __future__ import annotations

import datetime
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from paddle_restore.data.files import atomic_path
from paddle_restore.engine import board
from paddle_restore.quiet import say

METRICS, NONFINITE, BOARD = "metrics.jsonl", "nonfinite.jsonl", "vdl"
_BOARD_FILE = f"{BOARD}/{board.FILE}"


class RunLog:
    """Writes into a run folder; on ranks other than 0, and without a folder, it stays silent.

    Records that are newer than `kept` ({phase: iteration}) are dropped first: an interrupted run
    wrote them after the checkpoint that this one resumes from. Where the disk is full a warning is
    given and training goes on; what could not be written follows when there is room.
    """

    def __init__(self, folder: Optional[Path], total: int = 0, done: int = 0, kept: Optional[dict] = None):
        self.folder = folder
        self._waiting: dict[str, bytes] = {}
        self._full = False
        if folder is None:
            return
        kept = kept or {"train": done, "eval": done}
        for name in (METRICS, NONFINITE):
            _forget(folder / name, kept)
        board.forget(folder / BOARD, lambda tag, step: step <= kept.get(tag.split("/")[0], 0))
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="it",
            leave=False,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def text(self, line: str) -> None:
        if self.folder is None:
            return
        with suppress(OSError):  # a pipe that was closed, or a job's output on a full disk
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
        self._append("train.log", f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}\n".encode())

    def scalars(self, phase: str, iteration: int, values: dict[str, float]) -> None:
        """Record named numbers of `phase` (train, eval) at `iteration`, in metrics.jsonl and for VisualDL."""
        if self.folder is None:
            return
        self.record(METRICS, iteration, phase=phase, **values)
        self._show(*(board.scalar(f"{phase}/{name}", iteration, value) for name, value in values.items()))

    def record(self, file: str, iteration: int, phase: str = "train", **values: Any) -> None:
        """Append a line of JSON."""
        line = json.dumps({"phase": phase, "iteration": iteration, **values}) + "\n"
        self._append(file, line.encode())

    def picture(self, name: str, iteration: int, image: np.ndarray) -> None:
        """Record an (H, W, 3) uint8 picture; none where it would have to wait, in memory."""
        if self.folder is not None and _BOARD_FILE not in self._waiting:
            self._show(board.picture(name, iteration, image))

    def advance(self) -> None:
        if self.folder is not None:
            self._bar.update()

    def flush(self) -> None:
        """Write what is waiting: what a checkpoint says must not be ahead of the records."""
        for name in list(self._waiting):
            self._append(name, b"")

    def close(self) -> None:
        if self.folder is not None:
            self._bar.close()
            self.flush()

    def _show(self, *records: bytes) -> None:
        file = self.folder / _BOARD_FILE
        new = _BOARD_FILE not in self._waiting and not (file.is_file() and file.stat().st_size)
        self._append(_BOARD_FILE, b"".join([board.header() if new else b"", *records]))

    def _append(self, name: str, data: bytes) -> None:
        """Append to a file of the folder whole, or not at all and later."""
        if self.folder is None:
            return
        path, data, size = self.folder / name, self._waiting.pop(name, b"") + data, None
        try:
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                size = file.tell()
                file.write(data)
        except OSError as error:
            if size is not None:
                with suppress(OSError):
                    os.truncate(path, size)
            self._waiting[name] = data
            if not self._full:
                say(f"warning: {self.folder}: the log cannot be written ({error})")
            self._full = True


def _forget(path: Path, kept: dict[str, int]) -> None:
    """Drop the lines after `kept`, and one that was cut short when the run was killed."""
    if not path.is_file():
        return
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        with suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            if row["iteration"] <= kept[row["phase"]]:
                lines.append(line)
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


class Meter:
    """Means of a training between two log lines; `sums` is all of it that a resumed run must know."""

    def __init__(self, sums: dict[str, Any]) -> None:
        self.reset()
        self.sums = sums

    def reset(self) -> None:
        self.sums: dict[str, Any] = {"count": 0, "losses": {}}
        self.count = self.samples = 0
        self.reader_seconds = self.batch_seconds = 0.0

    def add(self, samples: int, reader_seconds: float, batch_seconds: float) -> None:
        self.count += 1
        self.samples += samples
        self.reader_seconds += reader_seconds
        self.batch_seconds += batch_seconds

    def add_losses(self, losses: dict[str, float]) -> None:
        self.sums["count"] += 1
        sums = self.sums["losses"]
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value

    def mean_losses(self) -> dict[str, float]:
        return {name: value / self.sums["count"] for name, value in self.sums["losses"].items()}

    def line(self, epoch: str, iteration: str, lr: float, left: int) -> str:
        """The log line by Paddle's habit; `left` iterations are still to come."""
        batch = self.batch_seconds / self.count
        losses = "".join(f"{name}: {value:.6f}, " for name, value in self.mean_losses().items())
        return (
            f"[train] epoch: {epoch}, iter: {iteration}, lr: {lr:.6g}, {losses}"
            f"avg_reader_cost: {self.reader_seconds / self.count:.5f} sec, avg_batch_cost: {batch:.5f} sec, "
            f"avg_samples: {self.samples / self.count:g}, "
            f"avg_ips: {self.samples / max(self.batch_seconds, 1e-9):.5f} images/sec, "
            f"eta: {datetime.timedelta(seconds=int(left * batch))}"
        )
