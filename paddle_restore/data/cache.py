"""Decoded frames on disk: every file is decoded once, and a crop reads its own bytes only.

A cache is a folder with `manifest.json`, and below it, at the path that the source has below the
data's root, one file a frame: NAME.mosaic (what the sensor saw) or NAME.target (LibRaw's picture).
Each is a header of 4096 bytes (JSON, padded with spaces) and the pixels, uint16, little-endian,
row by row, so that `numpy.memmap(file, "<u2", offset=4096, shape=...)` reads it. docs/data.md has
the measurements behind that choice.

The header says of which file (size, time of change) and by which version the frame was made; a frame
that does not fit is decoded again. Files get their names when they are whole, so any number of jobs
may fill one cache: at worst two decode the same file, and the later one wins.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import BinaryIO, Optional

import numpy as np
from pydantic import BaseModel, PositiveInt, ValidationError

from paddle_restore.data.files import atomic_path, make_folder
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import develop, read_raw, warn_of_black_level
from paddle_restore.errors import UserError

VERSION = 1
"""Raised whenever frames of an older version must not be used."""

MANIFEST = "manifest.json"
SUFFIXES = (".mosaic", ".target")
_FORMAT = "paddle_restore frames"
_HEADER = 4096
_PIXELS = np.dtype("<u2")


class Metadata(BaseModel):
    """What RawImage holds beside the pixels, as the file says it."""

    pattern: str
    black_level: tuple[float, float, float, float]
    white_level: float
    white_balance: tuple[float, float, float, float]
    exposure_time: float
    iso: float
    orientation: int


class Header(BaseModel):
    version: int
    size: int
    mtime_ns: int
    shape: tuple[PositiveInt, ...]
    metadata: Optional[Metadata] = None


# Metadata (of a mosaic), pixels, and the source file as it was decoded.
Frame = tuple[Optional[Metadata], np.ndarray, os.stat_result]


class CachedFrames:
    """The frames of files below `root`, kept in a cache (see `Frames`).

    fill  write what is not there; otherwise such files are decoded every time

    Raises UserError for a folder that is no cache of ours, and where a frame cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        black_level: Optional[float] = None,
        white_level: Optional[float] = None,
        fill: bool = True,
    ):
        self.folder, self.root, self.fill = open_cache(folder), root, fill
        self.levels = (black_level, white_level)

    def raw(self, path: Path) -> RawImage:
        """Return the file's frame; its mosaic is a read-only memory map."""
        metadata, mosaic = self._frame(path, ".mosaic")
        # The cache keeps what the file says: the recipe's levels may change.
        return RawImage(mosaic=mosaic, path=path, **dict(metadata)).with_levels(*self.levels)

    def target(self, path: Path) -> np.ndarray:
        """Return LibRaw's picture of the file, (H, W, 3) uint16, a read-only memory map."""
        return self._frame(path, ".target")[1]

    def _frame(self, path: Path, suffix: str) -> Frame:
        frame = self.find(path, suffix)
        if frame is None:
            frame = self.decode(path, suffix)
            if self.fill:
                self.write(path, suffix, frame)
        return frame[:2]

    # The steps apart, for preparing a cache.

    def find(self, path: Path, suffix: str) -> Optional[Frame]:
        """Return the file's `.mosaic` or `.target` if it is there, whole and up to date."""
        try:
            with self.place(path, suffix).open("rb") as stream:
                return _parse(stream, path.stat(), suffix)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read ({error.strerror or error})") from None

    def decode(self, path: Path, suffix: str) -> Frame:
        """Decode the file. Raises UserError where LibRaw cannot."""
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        source = path.stat()  # before decoding, should the file change meanwhile
        if suffix == ".target":
            return None, develop(path), source
        raw = read_raw(path)
        warn_of_black_level(raw, self.levels[0])
        return Metadata(**{name: getattr(raw, name) for name in Metadata.model_fields}), raw.mosaic, source

    def write(self, path: Path, suffix: str, frame: Frame) -> None:
        """Put a decoded frame into the cache, whole or not at all."""
        metadata, pixels, source = frame
        stamp = {"version": VERSION, "size": source.st_size, "mtime_ns": source.st_mtime_ns}
        header = Header(**stamp, shape=pixels.shape, metadata=metadata).model_dump_json().encode()
        place = self.place(path, suffix)
        try:
            with atomic_path(place) as temporary, temporary.open("wb") as stream:
                stream.write(header.ljust(_HEADER))
                # Not through a memory map: a full disk would kill the process and not raise.
                stream.write(memoryview(np.ascontiguousarray(pixels, _PIXELS)).cast("B"))
        except UserError as error:
            size = f"{pixels.nbytes / 1e6:.0f} MB"
            raise UserError(f"{error}; this frame takes {size}: make room, or cache elsewhere") from None

    def place(self, path: Path, suffix: str) -> Path:
        """Return where the cache keeps the file's frame."""
        inside = os.path.relpath(path, self.root)
        if inside.startswith(".."):
            # A list may name files elsewhere; the drive and the root are no folder names.
            inside = os.path.join("elsewhere", *path.resolve().parts[1:])
        return self.folder / (inside + suffix)


def open_cache(folder: Path) -> Path:
    """Return the folder of a cache, new or old; raise UserError for a folder of other things."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        make_folder(folder)
        if any(not entry.name.startswith(".") for entry in folder.iterdir()) and not manifest.is_file():
            raise UserError(f"{folder}: holds other files than cached frames; choose a new folder")
        _write_manifest(manifest)
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        name, version = content["format"], int(content["version"])
    except (OSError, ValueError, KeyError, TypeError):
        name = version = None
    if name != _FORMAT:
        raise UserError(f"{manifest}: is not the manifest of a cache of frames; choose a new folder")
    if version > VERSION:
        raise UserError(
            f"{folder}: was made by a newer paddle_restore (version {version}, this one knows {VERSION}); "
            "update it or choose a new folder"
        )
    if version < VERSION:
        _write_manifest(manifest)  # each frame says its own version and is decoded anew when it is asked for
    return folder


def sweep(folder: Path, seconds: float = 3600) -> int:
    """Remove the unfinished files that killed jobs left so long ago; return how many."""
    old = [
        file
        for suffix in SUFFIXES
        for file in folder.rglob(f".*{suffix}")
        if time.time() - file.stat().st_mtime > seconds
    ]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)


def _write_manifest(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"format": _FORMAT, "version": VERSION}) + "\n", encoding="utf-8")


def _parse(stream: BinaryIO, source: os.stat_result, suffix: str) -> Optional[Frame]:
    try:
        header = Header.model_validate_json(stream.read(_HEADER))
    except ValidationError:
        return None
    size = os.fstat(stream.fileno()).st_size
    fits = (
        (header.version, header.size, header.mtime_ns) == (VERSION, source.st_size, source.st_mtime_ns)
        and size == _HEADER + math.prod(header.shape) * _PIXELS.itemsize
        and len(header.shape) == (2 if header.metadata else 3)
        and (header.metadata is not None) == (suffix == ".mosaic")
    )
    if not fits:
        return None
    # One open file for header and pixels: another job may be putting a newer frame in its place.
    return header.metadata, np.asarray(np.memmap(stream, _PIXELS, "r", _HEADER, header.shape)), source
