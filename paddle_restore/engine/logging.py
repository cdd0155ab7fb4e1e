"""What a run says: text log, metrics.jsonl, VisualDL, and a progress bar on a terminal."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Optional, TextIO

import numpy as np
from tqdm import tqdm

from paddle_restore.data.files import atomic_path
from paddle_restore.engine.board import forget, open_board

METRICS, NONFINITE, BOARD = "metrics.jsonl", "nonfinite.jsonl", "vdl"


class RunLog:
    """Writes into a run folder; on ranks other than 0, and without a folder, it stays silent.

    Records that are newer than `kept` ({phase: iteration}) are dropped first: an interrupted run
    wrote them after the checkpoint that this one resumes from. Where the disk is full a warning is
    given and training goes on.
    """

    def __init__(self, folder: Optional[Path], total: int = 0, done: int = 0, kept: Optional[dict] = None):
        self.folder = folder
        self._board: Any = None
        self._files: dict[str, TextIO] = {}
        self._full = False
        if folder is None:
            return
        kept = kept or {"train": done, "eval": done}
        for name in (METRICS, NONFINITE):
            _forget(folder / name, kept)
        forget(folder / BOARD, lambda tag, step: step <= kept.get(tag.split("/")[0], 0))
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
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
        self._append("train.log", f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    def scalars(self, phase: str, iteration: int, values: dict[str, float]) -> None:
        """Record named numbers of `phase` (train, eval) at `iteration`, in metrics.jsonl and for VisualDL."""
        if self.folder is None:
            return
        self.record(METRICS, iteration, phase=phase, **values)
        with self._lenient():
            for name, value in values.items():
                self._writer().add_scalar(tag=f"{phase}/{name}", step=iteration, value=value)

    def record(self, file: str, iteration: int, phase: str = "train", **values: Any) -> None:
        """Append a line of JSON."""
        if self.folder is not None:
            self._append(file, json.dumps({"phase": phase, "iteration": iteration, **values}) + "\n")

    def picture(self, name: str, iteration: int, image: np.ndarray) -> None:
        """Record an (H, W, 3) uint8 picture."""
        if self.folder is not None:
            with self._lenient():
                self._writer().add_image(tag=name, img=image, step=iteration)

    def advance(self) -> None:
        if self.folder is not None:
            self._bar.update()

    def flush(self) -> None:
        """Have everything on disk: what a checkpoint says must not be ahead of the records."""
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        if self.folder is not None:
            self._bar.close()
            for file in self._files.values():
                with self._lenient():
                    file.close()
            if self._board is not None:
                self._board.close()

    def _append(self, name: str, text: str) -> None:
        with self._lenient():
            if name not in self._files:
                self._files[name] = (self.folder / name).open("a", encoding="utf-8")
            self._files[name].write(text)
            self._files[name].flush()

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._full:
                print(f"warning: {self.folder}: the log cannot be written ({error})", file=sys.stderr)
            self._full = True

    def _writer(self) -> Any:
        if self._board is None:
            self._board = open_board(self.folder / BOARD)
        return self._board


def _forget(path: Path, kept: dict[str, int]) -> None:
    """Drop the lines after `kept`, and one that was cut short when the run was killed."""
    if not path.exists():
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

    def __init__(self, sums: Optional[dict[str, Any]] = None) -> None:
        self.reset()
        self.sums = sums or self.sums

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
