"""What a run says: text log, metrics.jsonl, VisualDL, and a progress bar on a terminal."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from paddle_restore.data.files import atomic_path


class RunLog:
    """Writes into a run folder; on ranks other than 0, and without a folder, it stays silent."""

    def __init__(self, folder: Optional[Path], total: int = 0, done: int = 0):
        self.folder = folder
        self._board: Any = None
        if folder is None:
            return
        self._text = (folder / "train.log").open("a", encoding="utf-8")
        self._forget_after(folder / "metrics.jsonl", done)
        self._metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="it",
            leave=False,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    @staticmethod
    def _forget_after(path: Path, done: int) -> None:
        """Drop what an interrupted run wrote after the checkpoint that this one resumes from."""
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if json.loads(line)["iteration"] <= done:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # cut short when the run was killed
        with atomic_path(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def text(self, line: str) -> None:
        if self.folder is None:
            return
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
        self._text.write(f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")
        self._text.flush()

    def scalars(self, phase: str, iteration: int, values: dict[str, float]) -> None:
        """Record named numbers of `phase` (train, eval) at `iteration`."""
        if self.folder is None:
            return
        self._metrics.write(json.dumps({"phase": phase, "iteration": iteration, **values}) + "\n")
        self._metrics.flush()
        for name, value in values.items():
            self._writer().add_scalar(tag=f"{phase}/{name}", step=iteration, value=value)

    def picture(self, name: str, iteration: int, image: np.ndarray) -> None:
        """Record an (H, W, 3) uint8 picture."""
        if self.folder is not None:
            self._writer().add_image(tag=name, img=image, step=iteration)

    def advance(self) -> None:
        if self.folder is not None:
            self._bar.update()

    def close(self) -> None:
        if self.folder is not None:
            self._bar.close()
            self._text.close()
            self._metrics.close()
            if self._board is not None:
                self._board.close()

    def _writer(self) -> Any:
        if self._board is None:
            from visualdl import (
                LogWriter,
            )  # takes seconds to import, so only when there is something to write

            self._board = LogWriter(logdir=str(self.folder / "vdl"))
        return self._board


class Meter:
    """Means of a training between two log lines."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.losses: dict[str, float] = {}
        self.count = self.samples = 0
        self.reader_seconds = self.batch_seconds = 0.0

    def add(
        self, losses: dict[str, float], samples: int, reader_seconds: float, batch_seconds: float
    ) -> None:
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value
        self.count += 1
        self.samples += samples
        self.reader_seconds += reader_seconds
        self.batch_seconds += batch_seconds

    def mean_losses(self) -> dict[str, float]:
        return {name: value / self.count for name, value in self.losses.items()}

    def line(self, epoch: str, iteration: str, lr: float, left: int) -> str:
        """The log line by Paddle's habit; `left` iterations are still to come."""
        batch = self.batch_seconds / self.count
        losses = ", ".join(f"{name}: {value:.6f}" for name, value in self.mean_losses().items())
        return (
            f"[train] epoch: {epoch}, iter: {iteration}, lr: {lr:.6g}, {losses}, "
            f"avg_reader_cost: {self.reader_seconds / self.count:.5f} sec, avg_batch_cost: {batch:.5f} sec, "
            f"avg_samples: {self.samples / self.count:g}, "
            f"avg_ips: {self.samples / max(self.batch_seconds, 1e-9):.5f} images/sec, "
            f"eta: {datetime.timedelta(seconds=int(left * batch))}"
        )
