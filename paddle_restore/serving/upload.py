"""A request's body into one file of a private folder, bounded while it comes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from paddle_restore.data.formats import START, format_of_bytes, is_picture, is_raw
from paddle_restore.serving.problem import Problem

_FIELD_MOST = 200  # bytes of a parameter in a form
_PARTS_MOST = 20
_HEADER_MOST = 4096
_NAME_MOST = 100


@dataclass
class Upload:
    """path: the file in its folder; name: what the client calls it, only ever shown; fields: the form's."""

    path: Path
    name: str
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.path.parent

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


async def receive(request: Request, root: Path, most: int, seconds: float) -> Upload:
    """Write the body into a new folder under `root`. Raises Problem, and Starlette's ClientDisconnect."""
    try:
        said = int(request.headers.get("content-length", "0"))
    except ValueError:
        raise Problem(400, "Content-Length is no number") from None
    if said > most:
        raise _too_large(most)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    upload = Upload(Path(tempfile.mkdtemp(prefix="request-", dir=root)) / "upload", "the file")
    try:
        stream = _bounded(request, most)
        reading = _form(upload, stream, options) if kind == b"multipart/form-data" else _plain(upload, stream)
        await asyncio.wait_for(reading, seconds)
        if not upload.path.is_file() or not upload.path.stat().st_size:
            raise Problem(400, "the request holds no file; send it as the body, or as the form field `file`")
        upload.path = upload.path.rename(upload.path.with_suffix(_suffix(upload)))
    except asyncio.TimeoutError:
        upload.remove()
        raise Problem(408, f"the file did not arrive within {seconds:g} seconds") from None
    except BaseException:
        upload.remove()
        raise
    return upload


def _too_large(most: int) -> Problem:
    return Problem(413, f"the file is larger than {most / 1e6:.0f} MB, which is the limit here")


async def _bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    count = 0
    async for part in request.stream():
        count += len(part)
        if count > most:
            raise _too_large(most)
        yield part


async def _plain(upload: Upload, stream: AsyncIterator[bytes]) -> None:
    with upload.path.open("wb") as file:
        async for part in stream:
            file.write(part)


async def _form(upload: Upload, stream: AsyncIterator[bytes], options: dict[bytes, bytes]) -> None:
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise Problem(400, "multipart/form-data needs a boundary")
    with upload.path.open("wb") as file:
        form = _Form(upload, file)
        try:
            parser = MultipartParser(boundary, form.callbacks())
            async for part in stream:
                parser.write(part)
            parser.finalize()
        except MultipartParseError:
            raise Problem(400, "the multipart body is broken") from None
        if not form.whole:
            raise Problem(400, "the multipart body is cut short")


class _Form:
    """What MultipartParser calls: the part `file` goes into the file, the others are small fields."""

    def __init__(self, upload: Upload, file: Any):
        self.upload, self.file, self.whole = upload, file, False
        self._parts = self._files = 0
        self._name, self._value = "", bytearray()
        self._header = [bytearray(), bytearray()]
        self._headers: dict[bytes, bytes] = {}

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._put_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._put_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._start,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": lambda: setattr(self, "whole", True),
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MOST:
            raise Problem(400, f"the form has more than {_PARTS_MOST} parts")
        self._headers, self._value = {}, bytearray()

    def _put_header(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if len(self._header[which]) > _HEADER_MOST or len(self._headers) > 16:
            raise Problem(400, "a header of the form is too long")

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._headers[name.lower()] = value
        self._header = [bytearray(), bytearray()]

    def _start(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == "file":
            self._files += 1
            if self._files > 1:
                raise Problem(400, "the form has several files; send one a request")
            self.upload.name = shown_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        elif self._name in self.upload.fields:
            raise Problem(422, f"{self._name[:40]}: is given twice")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self.file.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _FIELD_MOST:
            raise Problem(422, f"the form field {self._name[:40]!r} is too long (the picture is `file`)")

    def _end(self) -> None:
        if self._name != "file":
            self.upload.fields[self._name] = self._value.decode("utf-8", "replace")


def shown_name(given: str) -> str:
    """A client's file name as messages show it: one line, no folders, of moderate length."""
    name = PurePosixPath(given.replace("\\", "/")).name
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name[-_NAME_MOST:] or "the file"


def is_surely_picture(start: bytes) -> bool:
    """Whether a file that begins so is a picture; False for TIFF, as which raw files begin, too."""
    found = format_of_bytes(start)
    return found is not None and not found.raw_container


def _suffix(upload: Upload) -> str:
    """Choose from a fixed list: by the content, then by the end of the client's name."""
    with upload.path.open("rb") as file:
        start = file.read(START)
    found, given = format_of_bytes(start), Path(upload.name)
    if found and not found.raw_container:
        return found.suffixes[0]
    if is_raw(given):
        return given.suffix.lower()
    return ".tif" if found or is_picture(given) else ".raw"
