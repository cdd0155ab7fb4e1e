"""Decoded frames of raw files and their cache on disk. A crop reads only its own bytes of it.

A cache is a folder with `manifest.json`. Below it each frame is a file, at the path that the raw file has
below the data's root: NAME.mosaic (the sensor's values) or NAME.target (LibRaw's picture). A file is a header
of 4096 bytes (JSON, padded with spaces) and the pixels, uint16, little-endian, row by row, so that
`numpy.memmap(file, "<u2", offset=4096, shape=...)` reads it. docs/data.md has the measurements behind this.

The header holds the raw file's size and time of change, and the version of the cache. A frame that does not
fit is decoded again. Files get their names when they are complete, so several jobs may fill one cache: at
worst two decode the same file, and the later one replaces the other's.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import BinaryIO, Optional, Protocol

import numpy as np
from pydantic import BaseModel, PositiveInt, ValidationError

from paddle_restore.data.files import atomic_path, make_folder, write_text
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import develop, read_raw, warn_of_black_level
from paddle_restore.errors import UserError

VERSION = 1
"""Increase it when frames of an older version must not be used."""

MANIFEST = "manifest.json"
SUFFIXES = (".mosaic", ".target")
_FORMAT = "paddle_restore frames"
_HEADER_BYTES = 4096
_PIXELS = np.dtype("<u2")


class Frames(Protocol):
    """A source of decoded raw files. Mosaic and target have the same size, pixel by pixel."""

    def raw(self, path: Path) -> RawImage: ...

    def target(self, path: Path) -> np.ndarray:
        """Return LibRaw's picture of the file, (H, W, 3) uint16 sRGB."""
        ...


class DecodedFrames:
    """Decode at every access: slow, but needs no disk."""

    def __init__(self, black_level: Optional[float] = None, white_level: Optional[float] = None):
        self.levels = (black_level, white_level)

    def raw(self, path: Path) -> RawImage:
        raw = read_raw(path)
        warn_of_black_level(raw, self.levels[0])
        return raw.with_levels(*self.levels)

    def target(self, path: Path) -> np.ndarray:
        return develop(path)


class FrameHeader(BaseModel):
    """The fields of RawImage except the pixels, with the file's own levels."""

    pattern: str
    black_level: tuple[float, float, float, float]
    white_level: float
    white_balance: tuple[float, float, float, float]
    exposure_time: float
    iso: float
    orientation: int


class _FileHeader(BaseModel):
    """`metadata` belongs to a mosaic."""

    version: int
    size: int
    mtime_ns: int
    shape: tuple[PositiveInt, ...]
    metadata: Optional[FrameHeader] = None


Frame = tuple[Optional[FrameHeader], np.ndarray, os.stat_result]
"""Header (of a mosaic), pixels, and the status of the raw file before it was decoded."""


class CachedFrames:
    """The frames of files below `root`, kept in a cache (see `Frames`).

    fill  write frames that the cache lacks; otherwise they are decoded every time

    Raises UserError for a folder that holds other things, and if a frame cannot be written.
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
        """Return the file's frame. Its mosaic is a read-only memory map."""
        header, mosaic, _ = self._frame(path, ".mosaic")
        assert header is not None
        # The cache keeps the file's levels, because the recipe's may change.
        return RawImage(mosaic=mosaic, path=path, **dict(header)).with_levels(*self.levels)

    def target(self, path: Path) -> np.ndarray:
        """Return LibRaw's picture of the file, (H, W, 3) uint16, a read-only memory map."""
        return self._frame(path, ".target")[1]

    def _frame(self, path: Path, suffix: str) -> Frame:
        frame = self.find(path, suffix)
        if frame is None:
            frame = self.decode(path, suffix)
            if self.fill:
                self.write(path, suffix, frame)
        return frame

    # The single steps, for `prepare_sid`.

    def find(self, path: Path, suffix: str) -> Optional[Frame]:
        """Return the file's `.mosaic` or `.target`, or None if it is missing, incomplete or out of date."""
        try:
            with self.frame_path(path, suffix).open("rb") as stream:
                return _parse(stream, path.stat(), suffix)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be read ({error.strerror or error})") from None

    def decode(self, path: Path, suffix: str) -> Frame:
        """Decode the file. Raises UserError if LibRaw cannot."""
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        source = path.stat()  # before decoding, because the file may change meanwhile
        if suffix == ".target":
            return None, develop(path), source
        raw = read_raw(path)
        warn_of_black_level(raw, self.levels[0])
        header = FrameHeader(**{name: getattr(raw, name) for name in FrameHeader.model_fields})
        return header, raw.mosaic, source

    def write(self, path: Path, suffix: str, frame: Frame) -> None:
        """Write a decoded frame into the cache, whole or not at all."""
        metadata, pixels, source = frame
        header = _FileHeader(
            version=VERSION,
            size=source.st_size,
            mtime_ns=source.st_mtime_ns,
            shape=pixels.shape,
            metadata=metadata,
        )
        try:
            with atomic_path(self.frame_path(path, suffix)) as temporary, temporary.open("wb") as stream:
                stream.write(header.model_dump_json().encode().ljust(_HEADER_BYTES))
                # Not through a memory map: with a full disk that ends the process and raises nothing.
                stream.write(np.ascontiguousarray(pixels, _PIXELS).data.cast("B"))
        except UserError as error:
            size = f"{pixels.nbytes / 1e6:.0f} MB"
            raise UserError(f"{error}; this frame takes {size}: make room, or cache elsewhere") from None

    def frame_path(self, path: Path, suffix: str) -> Path:
        """Return where the cache keeps the file's frame."""
        inside = os.path.relpath(path, self.root)
        if inside.startswith(".."):
            # A list may name files elsewhere. The root of an absolute path is no folder name.
            inside = os.path.join("elsewhere", *path.resolve().parts[1:])
        return self.folder / (inside + suffix)


def open_cache(folder: Path) -> Path:
    """Return the folder of a cache, new or old. Raises UserError for a folder that holds other things."""
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
        name, version = None, 0
    if name != _FORMAT:
        raise UserError(f"{manifest}: is not the manifest of a cache of frames; choose a new folder")
    if version > VERSION:
        raise UserError(
            f"{folder}: was made by a newer paddle_restore (version {version}, this one knows {VERSION}); "
            "update it or choose a new folder"
        )
    if version < VERSION:
        _write_manifest(manifest)  # each frame has its own version, and is decoded again when it is needed
    return folder


def remove_unfinished(folder: Path, min_age: float = 3600) -> int:
    """Remove unfinished files that killed jobs left at least `min_age` seconds ago; return how many."""
    old = [
        file
        for suffix in SUFFIXES
        for file in folder.rglob(f".*{suffix}")
        if time.time() - file.stat().st_mtime > min_age
    ]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)


def _write_manifest(path: Path) -> None:
    write_text(path, json.dumps({"format": _FORMAT, "version": VERSION}) + "\n")


def _parse(stream: BinaryIO, source: os.stat_result, suffix: str) -> Optional[Frame]:
    try:
        header = _FileHeader.model_validate_json(stream.read(_HEADER_BYTES))
    except ValidationError:
        return None
    size = os.fstat(stream.fileno()).st_size
    fits = (
        (header.version, header.size, header.mtime_ns) == (VERSION, source.st_size, source.st_mtime_ns)
        and size == _HEADER_BYTES + math.prod(header.shape) * _PIXELS.itemsize
        and len(header.shape) == (2 if header.metadata else 3)
        and (header.metadata is not None) == (suffix == ".mosaic")
    )
    if not fits:
        return None
    # Header and pixels come from one open file: another job may replace the frame meanwhile.
    pixels = np.memmap(stream, _PIXELS, "r", _HEADER_BYTES, header.shape)
    return header.metadata, np.asarray(pixels), source
