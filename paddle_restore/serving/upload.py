"""A request's body, a form or the bare file, into one file of the request's own folder.

FastAPI's `UploadFile` does not do this, because with it the service could not keep its promises:

- FastAPI reads the whole form before it calls our code. Here a request is refused before its body is read.
- It writes the file where it has no name. A worker process needs one, so the file would be written twice.
- It accepts truncated forms, and fields of any length.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from paddle_restore.data.formats import START, format_of_bytes, is_picture, is_raw
from paddle_restore.serving import settings as limits
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

UNNAMED = "the file"
_MAX_NAME = 100


@dataclass
class Upload:
    """path: the file; name: what the client calls it, for messages only; fields: the form's other fields."""

    path: Path
    name: str = UNNAMED
    fields: dict[str, str] = field(default_factory=dict)


async def receive(request: Request, folder: Path, settings: Settings) -> Upload:
    """Write the body into a file of `folder`. Raises Problem, OSError, and Starlette's ClientDisconnect."""
    try:
        length = int(request.headers.get("content-length", "0"))
    except ValueError:
        raise Problem(400, "Content-Length is no number") from None
    if length > settings.max_bytes:
        raise too_large(settings)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    upload = Upload(folder / "upload")
    stream = _bounded(request, settings)
    with upload.path.open("wb") as file:
        if kind == b"multipart/form-data":
            reading = _read_form(stream, options.get(b"boundary", b""), upload, file)
        else:
            reading = _read_plain(stream, file)
        try:
            await asyncio.wait_for(reading, settings.transfer_seconds)
        except asyncio.TimeoutError:
            raise too_slow(settings) from None
    if not upload.path.stat().st_size:
        raise Problem(400, "the request holds no file; send it as the body, or as the form field `file`")
    upload.path = upload.path.rename(upload.path.with_suffix(_suffix(upload)))
    return upload


def too_large(settings: Settings) -> Problem:
    return Problem(413, f"the file is larger than {settings.max_mb} MB, which is the limit here")


def too_slow(settings: Settings) -> Problem:
    return Problem(408, f"the file did not arrive within {settings.transfer_seconds:g} seconds")


async def _bounded(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    count = 0
    async for part in request.stream():
        count += len(part)
        if count > settings.max_bytes:
            raise too_large(settings)
        yield part


async def _read_plain(stream: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for part in stream:
        file.write(part)


async def _read_form(stream: AsyncIterator[bytes], boundary: bytes, upload: Upload, file: BinaryIO) -> None:
    if not 0 < len(boundary) <= 200:
        raise Problem(400, "multipart/form-data needs a boundary")
    form = _Form(upload, file)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for part in stream:
            parser.write(part)
        parser.finalize()
    except MultipartParseError:
        raise Problem(400, "the multipart body is broken") from None
    if not form.complete:
        raise Problem(400, "the multipart body is cut short")


class _Form:
    """What MultipartParser calls. The part `file` goes into the file; the other parts are short fields."""

    def __init__(self, upload: Upload, file: BinaryIO):
        self.upload, self.file, self.complete = upload, file, False
        self._parts = self._files = 0
        self._name, self._value = "", bytearray()
        self._header = (bytearray(), bytearray())  # name and value
        self._headers: dict[bytes, bytes] = {}

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add_to_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._add_to_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._start,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": lambda: setattr(self, "complete", True),
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > limits.MAX_FORM_PARTS:
            raise Problem(400, f"the form has more than {limits.MAX_FORM_PARTS} parts")
        self._headers, self._value = {}, bytearray()

    def _add_to_header(self, which: int, data: bytes) -> None:
        header = self._header[which]
        header += data
        if len(header) > limits.MAX_FORM_HEADER_BYTES or len(self._headers) > limits.MAX_FORM_HEADERS:
            raise Problem(400, "a header of the form is too long")

    def _end_header(self) -> None:
        name, value = map(bytes, self._header)
        self._headers[name.lower()] = value
        self._header = (bytearray(), bytearray())

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
        if len(self._value) > limits.MAX_FIELD_BYTES:
            raise Problem(422, f"the form field {self._name[:40]!r} is too long (the picture is `file`)")

    def _end(self) -> None:
        if self._name != "file":
            self.upload.fields[self._name] = self._value.decode("utf-8", "replace")


def shown_name(given: str) -> str:
    """A client's file name as messages show it: one line, no folders, of moderate length."""
    name = PurePosixPath(given.replace("\\", "/")).name
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name[-_MAX_NAME:] or UNNAMED


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
