"""What a run writes besides checkpoints: text log, metrics.jsonl, VisualDL's file, a progress bar.

Two promises shape this file. A resumed run leaves no duplicates: records newer than its checkpoint are
dropped first. A full disk costs no record and no training: what cannot be written is kept in memory and
follows when there is space.

VisualDL's own writer cannot keep them. It writes in a thread that drops a record whose write fails, and
may leave half of it, after which VisualDL can read nothing; and VisualDL shows only the newest file of a
folder, so one writer for each resumed part would hide the earlier ones. So its records are made with
VisualDL's functions and appended here. The file's format: each record is its length, 8 bytes
little-endian, and a protocol buffer; the first record describes the file.
"""

from __future__ import annotations

import datetime
import json
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Optional

import numpy as np
from tqdm import tqdm

from paddle_restore.data.files import atomic_path
from paddle_restore.engine.state import LossSums, RunState
from paddle_restore.quiet import say

TEXT, METRICS, NONFINITE, VISUALDL = "train.log", "metrics.jsonl", "nonfinite.jsonl", "vdl"
PICTURES = "pictures"
VISUALDL_FILE = f"{VISUALDL}/vdlrecords.log"  # VisualDL only reads files with vdlrecords in the name


class RunLog:
    """Writes into a run folder. Does nothing without a folder, as on ranks other than 0.

    `total` and `done` are iterations, for the progress bar. `kept`, {phase: iteration}, says up to which
    iteration the records of an interrupted run are kept; by default up to `done`.
    """

    def __init__(
        self,
        folder: Optional[Path],
        total: int = 0,
        done: int = 0,
        kept: Optional[dict[str, int]] = None,
    ):
        self.folder = folder
        self._unwritten: dict[str, bytes] = {}
        self._warned = False
        if folder is None:
            return
        kept = kept or {"train": done, "eval": done}
        for name in (METRICS, NONFINITE):
            _drop_lines(folder / name, kept)
        drop_records(folder / VISUALDL, lambda tag, step: step <= kept.get(tag.split("/")[0], 0))
        self._bar = tqdm(
            total=total,
            initial=done,
            unit="it",
            leave=False,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def text(self, line: str) -> None:
        """Print a line and append it to train.log."""
        if self.folder is None:
            return
        with suppress(OSError):  # standard output is a closed pipe, or a file on a full disk
            tqdm.write(line, file=sys.stdout)
            sys.stdout.flush()
        self._append(TEXT, f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S} {line}\n".encode())

    def scalars(self, phase: str, iteration: int, values: dict[str, float]) -> None:
        """Record named numbers of `phase` (train, eval) at `iteration`, in metrics.jsonl and for VisualDL."""
        if self.folder is None:
            return
        self.record(METRICS, iteration, phase=phase, **values)
        from visualdl.component.base_component import scalar  # takes seconds to import

        self._append_visualdl(
            *(scalar(f"{phase}/{name}", value, iteration, _now()) for name, value in values.items())
        )

    def record(self, file: str, iteration: int, phase: str = "train", **values: Any) -> None:
        """Append a line of JSON."""
        line = json.dumps({"phase": phase, "iteration": iteration, **values}) + "\n"
        self._append(file, line.encode())

    def picture(self, name: str, iteration: int, image: np.ndarray) -> None:
        """Record an (H, W, 3) uint8 picture for VisualDL; dropped while the disk is full, to save memory."""
        if self.folder is None or VISUALDL_FILE in self._unwritten:
            return
        from visualdl.component.base_component import image as picture

        self._append_visualdl(picture(name, image, iteration, _now()))

    def advance(self) -> None:
        """Move the progress bar by one iteration."""
        if self.folder is not None:
            self._bar.update()

    def flush(self) -> None:
        """Write what could not be written yet, so that a checkpoint is not ahead of the records."""
        for name in list(self._unwritten):
            self._append(name, b"")

    def close(self) -> None:
        if self.folder is not None:
            self._bar.close()
            self.flush()

    def _append_visualdl(self, *records: Any) -> None:
        if self.folder is None:
            return
        from visualdl.component.base_component import meta_data

        file = self.folder / VISUALDL_FILE
        new = VISUALDL_FILE not in self._unwritten and not (file.is_file() and file.stat().st_size)
        records = (meta_data(walltime=_now()), *records) if new else records
        self._append(VISUALDL_FILE, b"".join(_frame(record.SerializeToString()) for record in records))

    def _append(self, name: str, data: bytes) -> None:
        """Append all of `data` to a file of the folder; where that fails nothing, and later."""
        if self.folder is None:
            return
        path, data, size = self.folder / name, self._unwritten.pop(name, b"") + data, None
        try:
            path.parent.mkdir(exist_ok=True)
            with path.open("ab") as file:
                size = file.tell()
                file.write(data)
        except OSError as error:
            if size is not None:
                with suppress(OSError):
                    os.truncate(path, size)
            self._unwritten[name] = data
            if not self._warned:
                say(f"warning: {self.folder}: the log cannot be written ({error})")
            self._warned = True


def _drop_lines(path: Path, kept: dict[str, int]) -> None:
    """Drop the lines after `kept`, and a line that was cut short when the run was killed."""
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


# ---- VisualDL's file


def drop_records(folder: Path, wanted: Callable[[str, int], bool]) -> None:
    """Keep the records with `wanted(tag, step)` from all of VisualDL's files in a folder, in one file."""
    files = sorted(folder.glob("vdlrecords*"))
    if not files:
        return
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record

    whole = folder.parent / VISUALDL_FILE
    with atomic_path(whole) as temporary, temporary.open("wb") as out:
        for file in files:
            with file.open("rb") as source:
                for number, data in enumerate(_read_records(source)):
                    try:
                        value = Record.FromString(data).values[0]
                    except (DecodeError, IndexError):
                        break  # behind a damaged record the next one cannot be found
                    # The first record describes the file; each file has one.
                    if number == 0 or (not value.HasField("meta_data") and wanted(value.tag, value.id)):
                        out.write(_frame(data))
    for file in files:
        if file.name != whole.name:
            file.unlink()


def _read_records(source: BinaryIO) -> Iterator[bytes]:
    size = os.fstat(source.fileno()).st_size
    while len(head := source.read(8)) == 8:
        length = struct.unpack("<Q", head)[0]
        if length > size - source.tell():  # cut short when the run was killed
            return
        yield source.read(length)


def _frame(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _now() -> int:
    """Milliseconds, VisualDL's time."""
    return round(time.time() * 1000)


# ---- the line in the text log


class Meter:
    """Means between two log lines.

    The losses are summed in the run's state, so that a resumed run logs the same means. The times are not.
    """

    def __init__(self, state: RunState):
        self._state = state
        self._reset_times()

    def reset(self) -> None:
        self._state.meter = LossSums()
        self._reset_times()

    def _reset_times(self) -> None:
        self.count = self.samples = 0
        self.reader_seconds = self.batch_seconds = 0.0

    def add(self, samples: int, reader_seconds: float, batch_seconds: float) -> None:
        self.count += 1
        self.samples += samples
        self.reader_seconds += reader_seconds
        self.batch_seconds += batch_seconds

    def add_losses(self, losses: dict[str, float]) -> None:
        sums = self._state.meter
        sums.count += 1
        for name, value in losses.items():
            sums.losses[name] = sums.losses.get(name, 0.0) + value

    def mean_losses(self) -> dict[str, float]:
        sums = self._state.meter
        return {name: value / sums.count for name, value in sums.losses.items()}

    def line(self, epoch: str, iteration: str, lr: float, left: int) -> str:
        """Return the log line, in Paddle's usual form; `left` iterations remain."""
        batch = self.batch_seconds / self.count
        losses = "".join(f"{name}: {value:.6f}, " for name, value in self.mean_losses().items())
        return (
            f"[train] epoch: {epoch}, iter: {iteration}, lr: {lr:.6g}, {losses}"
            f"avg_reader_cost: {self.reader_seconds / self.count:.5f} sec, avg_batch_cost: {batch:.5f} sec, "
            f"avg_samples: {self.samples / self.count:g}, "
            f"avg_ips: {self.samples / max(self.batch_seconds, 1e-9):.5f} images/sec, "
            f"eta: {datetime.timedelta(seconds=int(left * batch))}"
        )
