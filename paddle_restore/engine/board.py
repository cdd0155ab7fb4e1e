"""VisualDL's file of a run: one for the whole run, however often it was interrupted.

VisualDL shows only the newest file of a folder. Its format: each record is its length, 8 bytes
little-endian, and a protocol buffer; the first one describes the file. VisualDL's own writer is not
used: it writes in a thread, and where the disk is full it leaves half a record, after which nothing
can be read.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from paddle_restore.data.files import atomic_path

FILE = "vdlrecords.log"  # VisualDL wants vdlrecords in the name

# VisualDL takes seconds to import, so that is done only when there is something to write.


def header() -> bytes:
    """The record that a file begins with."""
    from visualdl.component.base_component import meta_data

    return _record(meta_data(walltime=_now()))


def scalar(tag: str, step: int, value: float) -> bytes:
    from visualdl.component.base_component import scalar

    return _record(scalar(tag, value, step, _now()))


def picture(tag: str, step: int, image: np.ndarray) -> bytes:
    """The record of an (H, W, 3) uint8 picture."""
    from visualdl.component.base_component import image as picture

    return _record(picture(tag, image, step, _now()))


def forget(folder: Path, wanted: Callable[[str, int], bool]) -> None:
    """Keep of a folder's records those of which `wanted(tag, step)`, in one file."""
    files = sorted(folder.glob("vdlrecords*"))
    if not files:
        return
    from google.protobuf.message import DecodeError
    from visualdl.proto.record_pb2 import Record

    with atomic_path(folder / FILE) as temporary, temporary.open("wb") as out:
        for file in files:
            with file.open("rb") as source:
                for number, data in enumerate(_records(source)):
                    try:
                        value = Record.FromString(data).values[0]
                    except (DecodeError, IndexError):
                        break  # where one record is damaged the next cannot be found
                    # The first record describes the file itself; every writer adds one.
                    if number == 0 or (not value.HasField("meta_data") and wanted(value.tag, value.id)):
                        out.write(_framed(data))
    for file in files:
        if file.name != FILE:
            file.unlink()


def _records(source: BinaryIO) -> Iterator[bytes]:
    size = os.fstat(source.fileno()).st_size
    while len(head := source.read(8)) == 8:
        length = struct.unpack("<Q", head)[0]
        if length > size - source.tell():  # cut short when the run was killed
            return
        yield source.read(length)


def _record(record: Any) -> bytes:
    return _framed(record.SerializeToString())


def _framed(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _now() -> int:
    return round(time.time() * 1000)
