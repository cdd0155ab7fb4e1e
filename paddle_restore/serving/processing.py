"""What a worker does with a request: restore its file, or show what the file holds."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Optional, Union

from paddle_restore.data.formats import (
    DEFAULT,
    FORMATS,
    all_formats,
    format_of_name,
    is_raw,
    output_formats,
    output_titles,
    titles,
)
from paddle_restore.data.image import image_size, write_image
from paddle_restore.data.metadata import Metadata
from paddle_restore.data.raw import has_mosaic, raw_size
from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.restored import DNG
from paddle_restore.inference.restorer import Form, Restorer
from paddle_restore.inference.speed import duration_text, seconds_per_pixel
from paddle_restore.inference.tiling import Tiling, largest_side
from paddle_restore.models.spec import ModelSpec
from paddle_restore.serving.problem import Problem
from paddle_restore.serving.settings import Settings

_PREVIEW_QUALITY = 92
_SURELY = 1.5  # times the limit that a picture must take to be refused before the work

Task = Literal["restore", "preview"]


class Cancelled(Exception):
    """The client went away."""


@dataclass(frozen=True)
class RestoreRequest:
    """One request, as it travels to a worker. The picture is written beside `path` as `result.*`.

    path  the file, in the request's own folder
    name  what the client calls the file
    """

    task: Task
    model: str
    path: str
    name: str
    ratio: Union[float, str] = "auto"
    strength: float = 1.0
    tile: Union[int, str] = "auto"
    format: Optional[str] = None
    depth: Optional[int] = None
    self_ensemble: str = "none"
    metadata: str = "none"

    @property
    def cancelled(self) -> bool:
        """The service removes the file when the client has left."""
        return not Path(self.path).exists()

    def cancel(self) -> None:
        """Tell the worker to stop after its window."""
        Path(self.path).unlink(missing_ok=True)


@dataclass(frozen=True)
class RestoreResult:
    """path: the picture's file; ratio: the amplification that was used (raw only)."""

    path: str
    seconds: float
    ratio: Optional[float]


OnProgress = Callable[[int, int, float], None]
"""Gets the number of finished windows, of all windows, and the seconds that are left."""


class Models:
    """The opened models of a worker by name, and their speed, which is measured here first."""

    def __init__(self, restorers: Mapping[str, Restorer]):
        self._restorers = restorers
        self._per_pixel = {name: seconds_per_pixel(one.forward) for name, one in restorers.items()}

    def __getitem__(self, name: str) -> Restorer:
        return self._restorers[name]

    def seconds(self, name: str, forward: Forward, size: tuple[int, int]) -> float:
        """Return how long a picture of (height, width) takes at the best speed that was measured."""
        return self._per_pixel[name] * forward.work(*size)

    def note(self, name: str, seconds: float, work: int) -> None:
        """Note how long a picture took. A slow run may be chance, a fast one is not."""
        self._per_pixel[name] = min(self._per_pixel[name], seconds / work)

    def check_time(
        self, request: RestoreRequest, forward: Forward, size: tuple[int, int], limit: float
    ) -> None:
        """Raise Problem for a picture that cannot be done in the time that a request may take."""
        seconds, (height, width) = self.seconds(request.model, forward, size), size
        if seconds < _SURELY * limit:
            return
        advice = [remedy(request, largest=height * width * limit / seconds)]
        for name, other in self._restorers.items():
            if other.spec.raw == forward.spec.raw and name != request.model:
                other_seconds = self.seconds(name, other.forward, size)
                if other_seconds < limit:
                    advice.append(f"or choose {name}, which takes about {duration_text(other_seconds)}")
        raise Problem(
            413,
            f"{request.path}: has {width}x{height} pixels, for which {request.model} needs about "
            f"{duration_text(seconds)} here, and a request may take {limit:g} seconds; {', '.join(advice)}",
        )


def remedy(request: RestoreRequest, largest: Optional[float] = None) -> str:
    """Say what would make a request faster. `largest`: pixels that can be done."""
    size = f" of at most {largest / 1e6:.2g} million pixels" if largest else ""
    text = f"send a smaller picture{size}"
    return text if request.self_ensemble == "none" else f"{text}, or leave self_ensemble away"


def process(
    models: Models, request: RestoreRequest, settings: Settings, on_progress: OnProgress
) -> RestoreResult:
    """Write the picture that a request asks for. Raises Problem, UserError, OSError and Cancelled."""
    start = time.perf_counter()
    path, restorer = Path(request.path), models[request.model]
    with _decoding(request):
        _check_kind(path, restorer.spec)
        size = _check_size(path, restorer.spec, settings.max_pixels)
    if request.task == "preview":
        output, ratio = _preview(restorer, request)
    else:
        output, ratio = _restore(models, request, settings, size, on_progress)
    return RestoreResult(str(output), time.perf_counter() - start, ratio)


def _preview(restorer: Restorer, request: RestoreRequest) -> tuple[Path, Optional[float]]:
    source = _read(restorer, request)
    output = Path(request.path).with_name("result.jpg")
    shown = source.form.shape(source.preview(), 8)
    write_image(output, shown, metadata=_profile(source.form), quality=_PREVIEW_QUALITY)
    return output, source.ratio


def _restore(
    models: Models,
    request: RestoreRequest,
    settings: Settings,
    size: tuple[int, int],
    on_progress: OnProgress,
) -> tuple[Path, Optional[float]]:
    restorer = models[request.model]
    name, depth = _format(request, restorer.spec)
    restorer = _configured(restorer, request, settings.memory)
    models.check_time(request, restorer.forward, size, settings.seconds)
    source = _read(restorer, request)
    total, count, start = restorer.count(source), 0, time.perf_counter()
    on_progress(0, total, models.seconds(request.model, restorer.forward, size))

    def on_window() -> None:
        nonlocal count
        count += 1
        on_progress(count, total, (time.perf_counter() - start) / count * (total - count))
        if request.cancelled:
            raise Cancelled

    restored = restorer.run([source], depth or source.form.depth, on_window)[0]
    models.note(request.model, time.perf_counter() - start, restorer.forward.work(*size))
    del source  # writing a large picture needs its memory
    if request.cancelled:
        raise Cancelled
    if request.metadata == "none":
        restored = replace(restored, form=replace(restored.form, metadata=_profile(restored.form)))
    output = Path(request.path).with_name(f"result.{name}")
    try:
        restorer.write(restored, output, depth, True if request.metadata == "keep" else None)
    except UserError as error:
        if getattr(error.__context__, "errno", None) is None:
            raise
        raise Problem(503, str(error)) from None  # a full disk is not the client's mistake
    return output, restored.ratio


def _read(restorer: Restorer, request: RestoreRequest) -> NetworkInput:
    with _decoding(request):
        return restorer.read(Path(request.path), _ratio(request))


@contextmanager
def _decoding(request: RestoreRequest) -> Iterator[None]:
    """Whatever a decoder raises for a hostile file is that file's error. The log has the traceback."""
    try:
        yield
    except (UserError, Problem, MemoryError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise UserError(f"{request.path}: cannot be read; the file is broken or not supported") from error


def _ratio(request: RestoreRequest) -> Optional[float]:
    return None if request.ratio == "auto" else float(request.ratio)


def _profile(form: Form) -> Metadata:
    """Only the colour profile. It gives the pixels their colours, and holds no position and no camera."""
    return form.metadata.without_origin()


def _check_kind(path: Path, spec: ModelSpec) -> None:
    # The service has named the file by its content. Raw files can begin like a TIFF.
    kind = format_of_name(path)
    if spec.raw and kind and not kind.raw_container:
        raise Problem(415, f"{path}: is a picture, and {spec.id} restores raw files, the camera's own")
    if not spec.raw and is_raw(path) and has_mosaic(path):
        known = path.suffix != ".raw"  # the suffix of files that nothing else is known of
        what = "is a raw file" if known else f"is no {titles(all_formats())}"
        raise Problem(415, f"{path}: {what}, and {spec.id} restores pictures ({output_titles()})")


def _check_size(path: Path, spec: ModelSpec, max_pixels: int) -> tuple[int, int]:
    height, width = raw_size(path) if spec.raw or is_raw(path) else image_size(path)
    if height * width > max_pixels:
        raise Problem(
            413,
            f"{path}: has {width}x{height} = {height * width / 1e6:.1f} million pixels, "
            f"and the limit here is {max_pixels / 1e6:g} million",
        )
    return height, width


def _format(request: RestoreRequest, spec: ModelSpec) -> tuple[str, Optional[int]]:
    """Return the name of the answer's format, and its depth; None for the input's own."""
    if request.format == DNG:
        if spec.output != "mosaic":
            raise Problem(422, f"format: {spec.id} gives pictures; dng is of models that restore raw frames")
        return DNG, None
    own = None if spec.raw else format_of_name(Path(request.path))
    kind = FORMATS[request.format] if request.format else own
    if kind is None or kind not in output_formats():
        kind = FORMATS[kind.instead if kind else DEFAULT]
    if request.depth and request.depth not in kind.depths:
        others = " or ".join(one.name for one in output_formats() if request.depth in one.depths)
        raise Problem(
            422, f"depth: {kind.name} has {kind.depths[0]} bits; choose {others} for {request.depth}"
        )
    return kind.name, request.depth or (kind.depths[0] if len(kind.depths) == 1 else None)


def _configured(restorer: Restorer, request: RestoreRequest, memory: float) -> Restorer:
    """Return a restorer of the same opened network with a request's tiling, averaging and strength."""
    spec = restorer.spec
    if isinstance(request.tile, int):
        # A client cannot make the network take more memory than `auto` may.
        largest = largest_side(spec, memory)
        if request.tile > largest:
            raise Problem(422, f"tile: {spec.id} may have at most {largest} here, by its memory; or auto")
    forward = replace(
        restorer.forward,
        averaging=Averaging(request.self_ensemble == "x8"),
        tiling=Tiling(request.tile, memory),
        strength=request.strength,
    )
    return Restorer.of(forward, restorer.preprocess, restorer.metrics, restorer.camera)


def describe_error(error: Exception, request: RestoreRequest) -> tuple[int, str]:
    """Return an error's HTTP status and its line, which has the client's file name and none of our paths."""
    if isinstance(error, MemoryError):
        return 413, "the file needs more memory than there is here"
    if not isinstance(error, (Problem, UserError)):
        return 500, "the file could not be processed; the service's log says more"
    text = str(error).replace(request.path, request.name).replace("--tile", "tile")
    folder = str(Path(request.path).parent)
    text = re.sub(re.escape(folder) + r"/result\.\w+", "the picture", text).replace(folder, "")
    return error.status if isinstance(error, Problem) else 422, line_of(text)
