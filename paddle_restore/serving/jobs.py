"""What a worker does with a file: restore it, or show what it holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Union

import numpy as np

from paddle_restore.data.image import image_size, to_float, to_integer, write_image
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.raw import RAW_SUFFIXES, raw_size, upright
from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.forward import Averaging
from paddle_restore.inference.restorer import Form, Frame, Restorer
from paddle_restore.inference.tiling import Tiling, largest_side
from paddle_restore.models.spec import ModelSpec
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.upload import picture_suffix

_EIGHT_BITS = ("jpg", "webp")
_PREVIEW_QUALITY = 92


class Cancelled(Exception):
    """The client went away."""


@dataclass(frozen=True)
class Job:
    """One request, as it travels to a worker. The picture goes to `path`'s folder as `result.*`."""

    task: str  # "restore" or "preview"
    model: str
    path: str
    name: str
    ratio: Union[float, str] = "auto"
    tile: Union[int, str] = "auto"
    format: Optional[str] = None
    depth: Optional[int] = None
    self_ensemble: str = "none"
    metadata: str = "none"

    @property
    def cancelled(self) -> bool:
        """The service removes the file when nobody waits for its picture any more."""
        return not Path(self.path).exists()


@dataclass(frozen=True)
class Done:
    path: str
    seconds: float
    ratio: Optional[float]


def perform(
    restorer: Restorer, job: Job, max_pixels: int, budget: float, progress: Callable[[int, int], None]
) -> Done:
    """Do a job; `progress` gets the finished and all windows. Raises Problem, UserError and Cancelled."""
    start = time.perf_counter()
    path = Path(job.path)
    _check_kind(path, restorer.spec)
    _check_size(path, restorer.spec, max_pixels)
    ratio = None if job.ratio == "auto" else float(job.ratio)
    if job.task == "preview":
        frame = restorer.read(path, ratio)
        output = path.with_name("result.jpg")
        shown, profile = frame.form.shape(_shown(frame), 8), _profile(frame.form)
        write_image(output, shown, metadata=profile, quality=_PREVIEW_QUALITY)
        return Done(str(output), time.perf_counter() - start, frame.ratio)
    kind = _format(job, path, restorer.spec)
    restorer = _configured(restorer, job, budget)
    frame = restorer.read(path, ratio)
    total, count = restorer.forward.count(frame.source), 0
    progress(0, total)

    def on_window() -> None:
        nonlocal count
        count += 1
        progress(count, total)
        if job.cancelled:
            raise Cancelled

    depth = 8 if kind in _EIGHT_BITS else job.depth or frame.form.depth
    restored = restorer.run([frame], depth, on_window)[0]
    del frame  # writing a large picture needs its memory
    if job.cancelled:
        raise Cancelled
    if job.metadata == "none":
        restored = replace(restored, form=replace(restored.form, metadata=_profile(restored.form)))
    output = path.with_name(f"result.{kind}")
    try:
        restorer.write(restored, output, depth)
    except UserError as error:
        if getattr(error.__context__, "errno", None) is None:
            raise
        raise Problem(503, str(error)) from None  # no room: not the client's mistake
    return Done(str(output), time.perf_counter() - start, restored.ratio)


def _profile(form: Form) -> Metadata:
    """Without its colour profile a picture would have other colours; a profile says nothing of a place."""
    return Metadata(icc=form.metadata.icc)


def _check_kind(path: Path, spec: ModelSpec) -> None:
    with path.open("rb") as file:
        picture = picture_suffix(file.read(16)) is not None
    if spec.raw and picture:
        raise Problem(415, f"{path}: is a picture, and {spec.id} restores raw files, the camera's own")
    if not spec.raw and path.suffix in RAW_SUFFIXES:
        known = path.suffix != ".raw"  # .raw is what nothing else is known of
        what = "is a raw file" if known else "is no PNG, JPEG, TIFF, WebP or BMP"
        raise Problem(415, f"{path}: {what}, and {spec.id} restores pictures (PNG, JPEG, TIFF, WebP)")


def _check_size(path: Path, spec: ModelSpec, most: int) -> None:
    height, width = raw_size(path) if spec.raw else image_size(path)
    if height * width > most:
        raise Problem(
            413,
            f"{path}: has {width}x{height} = {height * width / 1e6:.1f} million pixels, "
            f"and the limit here is {most / 1e6:g} million",
        )


def _format(job: Job, path: Path, spec: ModelSpec) -> str:
    kind = job.format
    if kind is None:
        kind = {".jpg": "jpg", ".webp": "webp", ".tif": "tif"}.get(path.suffix, "png")
        kind = "png" if spec.raw else kind
    if job.depth == 16 and kind in _EIGHT_BITS:
        raise Problem(422, f"depth: {kind} has 8 bits; choose png or tif for 16")
    return kind


def _configured(restorer: Restorer, job: Job, budget: float) -> Restorer:
    """The restorer with a request's tiling and averaging, of the same opened network."""
    spec = restorer.spec
    if isinstance(job.tile, int):
        # A client cannot choose more memory than auto may.
        most = largest_side(spec, budget)
        if job.tile > most:
            raise Problem(422, f"tile: {spec.id} may have at most {most} here, by its memory; or auto")
    forward = replace(
        restorer.forward,
        averaging=Averaging(job.self_ensemble == "x8"),
        tiling=Tiling(job.tile, budget),
    )
    return Restorer.of(forward, restorer.preprocess)


def _shown(frame: Frame) -> np.ndarray:
    """(H, W, 3) uint8, upright: the picture, or the amplified mosaic in the picture's size."""
    values = frame.source.values
    if not isinstance(values, RawImage):
        return to_integer(to_float(values.transpose(1, 2, 0)), 8)
    grown, (top, left) = values.extended()
    height, width = values.mosaic.shape
    rows = grown.mosaic.shape[0]
    step = 64 * grown.period
    out = np.empty((rows, grown.mosaic.shape[1], 3), np.uint8)
    for start in range(0, rows, step):  # strips: a whole frame's floats would take six times the file
        part = grown.crop(start, 0, min(step, rows - start), grown.mosaic.shape[1])
        out[start : start + step] = to_integer(part.preview(frame.ratio or 1.0).transpose(1, 2, 0), 8)
    return upright(out[top : top + height, left : left + width], frame.orientation)


def public(error: Exception, job: Job) -> str:
    """An error's line, with the client's name of the file in place of ours."""
    path = Path(job.path)
    text = str(error).replace(job.path, job.name).replace("--tile", "tile")
    for kind in ("png", "jpg", "tif", "webp"):
        text = text.replace(str(path.with_name(f"result.{kind}")), "the picture")
    return line_of(text.replace(str(path.parent), ""))


def status_of(error: Exception) -> tuple[int, str]:
    """The HTTP status of a worker's error, and the line that clients may see of it."""
    if isinstance(error, Problem):
        return error.status, str(error)
    if isinstance(error, UserError):
        return 422, str(error)
    if isinstance(error, MemoryError):
        return 413, "the file needs more memory than there is here"
    return 500, "the file could not be processed; the service's log says more"
