"""VisualDL's file of a run: one for the whole run, however often it was interrupted.

VisualDL shows only the newest file of a folder, and appends to one that is there. Its format: each
record is its length, 8 bytes little-endian, and a protocol buffer.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from paddle_restore.data.files import atomic_path

FILE = "vdlrecords.log"  # VisualDL wants vdlrecords in the name


def open_board(folder: Path) -> Any:
    """Return a LogWriter that appends to the folder's file."""
    # takes seconds to import, so only when there is something to write
    from visualdl import LogWriter

    with contextlib.redirect_stdout(io.StringIO()):  # it says that the file exists
        return LogWriter(logdir=str(folder), file_name=FILE)


def forget(folder: Path, wanted: Callable[[str, int], bool]) -> None:
    """Keep of a folder's records those of which `wanted(tag, step)`, in one file."""
    files = sorted(folder.glob("vdlrecords*"))
    if not files:
        return
    from visualdl.proto.record_pb2 import Record

    with atomic_path(folder / FILE) as temporary, temporary.open("wb") as out:
        for file in files:
            with file.open("rb") as source:
                for number, data in enumerate(_records(source)):
                    value = Record.FromString(data).values[0]
                    # The first record describes the file itself; every writer adds one.
                    if number == 0 or (not value.HasField("meta_data") and wanted(value.tag, value.id)):
                        out.write(struct.pack("<Q", len(data)) + data)
    for file in files:
        if file.name != FILE:
            file.unlink()


def _records(source: BinaryIO) -> Iterator[bytes]:
    while len(head := source.read(8)) == 8:
        length = struct.unpack("<Q", head)[0]
        data = source.read(length)
        if len(data) < length:  # cut short when the run was killed
            return
        yield data
