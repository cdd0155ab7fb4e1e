"""Restore files or arrays with a network, for every backend."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Optional, Union, overload

import numpy as np
from PIL import Image

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.arrays import array_with_form, image_with_form
from paddle_restore.data.camera_facts import CameraFacts, read_camera
from paddle_restore.data.dng import to_16_bits
from paddle_restore.data.exposure import auto_exposure
from paddle_restore.data.formats import is_raw, output_titles
from paddle_restore.data.highlights import whiten
from paddle_restore.data.image import Form, name_of, output_format, read_with_form
from paddle_restore.data.metadata import NO_METADATA
from paddle_restore.data.mosaic import RawImage, check_kind
from paddle_restore.data.pixels import stretched, to_float, upright
from paddle_restore.data.raw import develop_picture, has_mosaic, read_raw, warn_of_black_level
from paddle_restore.data.raw_metadata import raw_metadata
from paddle_restore.data.sensor_noise import noise_of
from paddle_restore.data.white_balance import to_training_camera
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import DEFAULT, EAGER, Network, open_network
from paddle_restore.inference.files import Kinds
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.package import METRICS, Package, Preprocess, read_package
from paddle_restore.inference.restored import DNG, SRGB, Restored, RestoredRaw
from paddle_restore.inference.tiling import BUDGET, Tiling
from paddle_restore.models.spec import ModelSpec
from paddle_restore.shipped import PICTURES, RAW, is_shipped, shipped_folder

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

Source = Union[str, Path, bytes, BinaryIO, np.ndarray, Image.Image, RawImage]
"""A file by its path, its bytes or open; a picture as an array (`array_with_form`) or a Pillow image; or a
raw frame."""

Sources = Union[list[Any], tuple[Any, ...]]
"""Several of them."""


class Restorer:
    """A network with all that it needs to restore files: raw files or pictures, as its spec says.

    restorer = Restorer()                           # the networks that come with the package
    restorer = Restorer("exported/mirnet_v2")
    picture = restorer("noisy.jpg")                 # (H, W, 3) float32 in [0, 1]
    restorer.save("noisy.jpg", "clean.jpg")         # in the input's depth, with its metadata
    restorer.save("night.nef", "night.dng")         # a raw file again
    pictures = restorer([array, image, data, file]) # NumPy, Pillow, bytes, an open file; a list of them
    with Restorer() as restorer: ...                # closed at the end: the network's memory is free again

    It can be pickled, and opens its network again. All its mistakes are `paddle_restore.UserError`.

    raw  of the networks that come with the package: the one for raw files, beside this one for pictures
    """

    raw: Optional[Restorer] = None

    def __init__(
        self,
        model: Union[str, Path, None] = None,
        weights: Union[str, Path, None] = None,
        backend: Optional[str] = None,
        precision: str = "fp32",
        device: str = "cpu",
        tile: Union[int, str] = "auto",
        memory: float = BUDGET,
        batch_size: int = 1,
        averaging: Optional[Averaging] = None,
        threads: Optional[int] = None,
        strength: float = 1.0,
        camera: Union[str, Path, None] = None,
        model_args: Optional[Mapping[str, Any]] = None,
    ):
        """Open an exported folder, or a network by its id with a weights file, which its own code runs.

        model       folder of export_model.py, or an id such as "mirnet_v2"; None takes the networks that come
                    with the package, for noisy pictures and for raw files, each opened when it is needed
        weights     model.pdparams, for an id only; an id whose weights come with the package needs none
        backend     "paddle" (Paddle Inference, the default for a folder), "tensorrt", "onnx", "openvino";
                    an id has "eager" only
        precision   "fp32", or "bf16" where backend and processor have it
        device      "cpu", "gpu" or "gpu:1"
        tile        side of the square windows in the picture's pixels, "auto" by `memory`, or "none"
        memory      GB of working memory that tile="auto" gives the network
        batch_size  windows (or small pictures) that the network gets at once
        averaging   self-ensemble, and samples of a latent
        threads     of the network on a CPU, by default `devices.thread_count()`
        strength    how much of the noise is removed: 0 (none) to 1.5, for networks that restore pictures or
                    mosaics
        camera      YAML file with a sensor's noise, for networks that restore mosaics; None takes the raw
                    file's own noise profile, or an estimate
        model_args  arguments of `create_model` for an id, such as {"width": 16}

        Raises UserError for combinations that cannot be opened.
        """
        self._arguments: Optional[tuple[Any, ...]] = (
            *(model, weights, backend, precision, device, tile, memory, batch_size),
            *(averaging, threads, strength, camera, dict(model_args or {})),
        )
        self.device = device
        tiling = Tiling(tile, memory)
        if model is None and weights is not None:
            raise UserError(f"{weights}: weights need the id of their network; name it as model")
        averaging, self.camera = averaging or Averaging(), Path(camera) if camera else None
        opened = backend or DEFAULT, device, precision, threads
        on_demand = model is None
        if model is None and is_shipped(RAW):
            network, package, _ = _open_folder(shipped_folder(RAW), None, *opened, on_demand)
            forward = Forward(network, package.model_spec, averaging, tiling, batch_size, strength=strength)
            self.raw = Restorer.of(forward, package.preprocess, package.metrics, self.camera)
        by_itself = weights is None and not model_args
        if model is None or (by_itself and not Path(model).is_dir() and is_shipped(str(model))):
            model = shipped_folder(str(model or PICTURES))
        if Path(model).is_dir():
            if model_args:
                raise UserError(f"{model}: an exported folder has its size; leave model_args away")
            network, package, own_noise = _open_folder(Path(model), weights, *opened, on_demand)
            spec, self.preprocess, self.metrics = package.model_spec, package.preprocess, package.metrics
        else:
            opened_by_id = str(model), weights, backend or EAGER, device, precision
            network, spec = _open_model(*opened_by_id, model_args or {}, threads)
            self.preprocess, self.metrics = _published_preprocess(str(model)), METRICS
            own_noise = False
        if own_noise and isinstance(tile, int):
            raise UserError(
                f"{model}: draws its noise itself, so tiles of it do not fit together; "
                "export it with --noise input, or use tile none"
            )
        self.forward = Forward(network, spec, averaging, tiling, batch_size, own_noise, strength)

    @classmethod
    def of(
        cls,
        forward: Forward,
        preprocess: Preprocess,
        metrics: tuple[str, ...] = METRICS,
        camera: Optional[Path] = None,
    ) -> Restorer:
        """Make a restorer of a network that is open already; `metrics` compare pictures with references."""
        restorer = cls.__new__(cls)
        restorer.forward, restorer.preprocess, restorer.metrics = forward, preprocess, metrics
        restorer.camera, restorer.device, restorer._arguments = camera, "cpu", None
        return restorer

    def __repr__(self) -> str:
        network = getattr(self.forward.network, "name", type(self.forward.network).__name__)
        what = " and ".join(one.spec.id for one in (self, self.raw) if one)
        return f"<Restorer {what}: {self.spec.input} in, {network} on {self.device}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._arguments is None:
            raise UserError("a restorer of an open network cannot be pickled; make it by folder or id")
        return _restored_from, (self._arguments, self.preprocess)

    def close(self) -> None:
        """Let go of the network and its memory. The restorer cannot be used afterwards."""
        self.forward = replace(self.forward, network=_closed)
        if self.raw:
            self.raw.close()

    def __enter__(self) -> Restorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def kinds(self) -> Kinds:
        """What kinds of files this restorer reads and writes."""
        mosaic = (self.raw or self).spec.output == "mosaic"
        return Kinds(not self.spec.raw, self.spec.raw or self.raw is not None, mosaic)

    def of_source(self, source: Source) -> Restorer:
        """Return the restorer that reads a source: this one, or `raw` for a raw file with a mosaic."""
        if not self.raw or not isinstance(source, (str, Path, RawImage)):
            return self
        mosaic = isinstance(source, RawImage) or (is_raw(Path(source)) and has_mosaic(Path(source)))
        return self.raw if mosaic else self

    @property
    def spec(self) -> ModelSpec:
        return self.forward.spec

    @overload
    def __call__(self, source: Source, ratio: Optional[float] = None) -> np.ndarray: ...

    @overload
    def __call__(self, source: Sources, ratio: Optional[float] = None) -> list[np.ndarray]: ...

    def __call__(
        self, source: Union[Source, Sources], ratio: Optional[float] = None
    ) -> Union[np.ndarray, list[np.ndarray]]:
        """Restore one file or array: (H, W, 3) float32 in [0, 1], upright; or a list of them.

        `ratio` None finds a raw file's amplification in the file alone: the exposure that makes its picture
        well lit, or Lamba's estimate for Lamba. Raises UserError for input that cannot be read or that the
        network does not take.
        """
        if not isinstance(source, (list, tuple)):
            return to_float(self.run([self.read(source, ratio)])[0].picture)
        pictures: list[np.ndarray] = []
        size = self.forward.batch_size
        for start in range(0, len(source), size):
            inputs = [self.read(one, ratio) for one in source[start : start + size]]
            pictures += [to_float(restored.picture) for restored in self.run(inputs)]
        return pictures

    def save(
        self,
        source: Source,
        output: Union[str, Path],
        ratio: Optional[float] = None,
        depth: Optional[int] = None,
        metadata: Optional[bool] = None,
        colour_space: str = SRGB,
    ) -> Union[Restored, RestoredRaw]:
        """Restore `source` into the file `output`, whose suffix says its format; return the picture.

        `depth` (8 or 16 bits) is the input's own unless given, and 16 for raw files where the format has it.
        The input's colour profile and EXIF are copied, unless `metadata` is False; a DNG gets place and
        serial number where it is True. `colour_space` is that of developed raw frames.
        Raises UserError like `__call__`, and if the file cannot be written.
        """
        if depth not in (None, 8, 16):
            raise UserError(f"depth must be 8 or 16, not {depth!r}")
        self.of_source(source).check_output(Path(output))
        input = self.read(source, ratio)
        restored = self.run([input], depth or input.form.depth)[0]
        del input  # writing a large picture needs its memory
        self.write(restored, Path(output), depth, metadata, colour_space)
        return restored

    def denoise(self, source: Source) -> RawImage:
        """Denoise a raw file or frame by a network that restores mosaics: uint16, black 4096, white 65535.

        Raises UserError like `__call__`.
        """
        restored = self.run([self.read(source, 1.0)])[0]
        if not isinstance(restored, RestoredRaw):
            raise UserError(f"{self.of_source(source).spec.id}: gives pictures, not raw frames")
        return to_16_bits(restored.raw)

    def check_output(self, path: Path) -> None:
        """Raise UserError if the network's results cannot be written in a file of this name."""
        if not (self.spec.output == "mosaic" and path.suffix.lower() == f".{DNG}"):
            output_format(path)

    # The steps of `save`, for callers that overlap or time them.

    def read(self, source: Source, ratio: Optional[float] = None) -> NetworkInput:
        """Decode a file (or take an array) as the network's input. Raises UserError like `__call__`."""
        if isinstance(source, str):
            source = Path(source)
        if isinstance(source, (bytes, bytearray, memoryview)):
            source = io.BytesIO(source)
        if _is_open(source) and (self.spec.raw or is_raw(Path(name_of(source)))):
            return self._read_raw_stream(source, ratio)
        reader = self.of_source(source)
        if reader is not self:
            return reader.read(source, ratio)
        if not self.spec.raw:
            return self._read_picture(source)
        if not isinstance(source, (Path, RawImage)):
            raise UserError(
                f"{self.spec.id} restores raw frames: give a raw file or a RawImage, not an array, "
                "which says nothing of levels and colours"
            )
        if ratio is not None and not 0 < ratio < float("inf"):
            raise UserError(f"ratio must be a number above 0, not {ratio!r}")
        raw = source if isinstance(source, RawImage) else read_raw(source)
        warn_of_black_level(raw, self.preprocess.black_level)
        raw = raw.with_levels(self.preprocess.black_level, self.preprocess.white_level)
        if self.spec.output == "mosaic":
            return self._mosaic_input(raw, ratio)
        raw = to_training_camera(raw, self.preprocess)
        if ratio is None:
            ratio = self.auto_ratio(raw)
        form = Form(depth=16, metadata=raw_metadata(raw.path) if raw.path else NO_METADATA)
        return NetworkInput(
            raw, self.spec.input, ratio, raw.orientation, form, self.spec.clip, name=str(raw.path or "")
        )

    def _read_raw_stream(self, file: BinaryIO, ratio: Optional[float]) -> NetworkInput:
        """Read an open raw file: LibRaw wants a name, and its tags are read by another library."""
        name = name_of(file, "the raw file")
        with tempfile.NamedTemporaryFile(suffix=Path(name).suffix or ".raw") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            try:
                return replace(self.read(Path(copy.name), ratio), name=name)
            except UserError as error:
                raise UserError(str(error).replace(copy.name, name)) from error.__cause__

    def auto_ratio(self, raw: RawImage) -> float:
        """Return the amplification of a single frame: its exposure, or Lamba's estimate for its network."""
        options = self.preprocess
        if self.spec.amplifier or options.ratio == "auto":
            return estimate_ratio(*raw.histogram(), m=options.amplifier_m, limited=options.amplifier_limited)
        return auto_exposure(raw, options.max_ratio)

    def _mosaic_input(self, raw: RawImage, ratio: Optional[float]) -> NetworkInput:
        check_kind(raw, self.spec.input)
        camera = read_camera(raw.path) if raw.path else CameraFacts()
        form = Form(depth=16, metadata=camera.metadata)
        noise = noise_of(raw, self.camera)
        exposure = self.auto_ratio(raw) if ratio is None else ratio
        return NetworkInput(raw, self.spec.input, exposure, raw.orientation, form, noise=noise, camera=camera)

    def _read_picture(self, source: Union[Path, BinaryIO, np.ndarray, Image.Image, RawImage]) -> NetworkInput:
        if isinstance(source, Path) and is_raw(source) and not has_mosaic(source):
            return self._read_linear(source)
        if isinstance(source, RawImage) or (isinstance(source, Path) and is_raw(source)):
            path = source.path if isinstance(source, RawImage) else source
            raise UserError(
                f"{path}: is a raw file, and {self.spec.id} restores pictures ({output_titles()}); "
                "name no model, or a raw network such as lamba or sid_unet"
            )
        name = ""
        if isinstance(source, np.ndarray):
            picture, form = array_with_form(source)
        elif isinstance(source, Image.Image):
            picture, form = image_with_form(source)
        else:
            picture, form = read_with_form(source)
            name = name_of(source)
        return NetworkInput(picture.transpose(2, 0, 1), self.spec.input, form=form, name=name)

    def _read_linear(self, path: Path) -> NetworkInput:
        """Develop a raw file without a mosaic, such as a phone's linear DNG or a monochrome sensor's."""
        picture = develop_picture(path)
        grey = picture.ndim == 2
        form = Form(depth=16, grey=grey, metadata=raw_metadata(path))
        planes = np.repeat(picture[None], 3, axis=0) if grey else picture.transpose(2, 0, 1)
        return NetworkInput(planes, self.spec.input, form=form)

    def run(
        self,
        inputs: Sequence[NetworkInput],
        depth: Optional[int] = None,
        on_window: Callable[[], object] = lambda: None,
    ) -> list[Union[Restored, RestoredRaw]]:
        """Restore inputs: float32 pictures, or integers of `depth` bits, which take less memory.

        A network that restores mosaics gives raw frames. `on_window` is called after every window that the
        network has restored.
        """
        if self.raw and any(input.noise for input in inputs):
            frames = iter(self.raw.run([input for input in inputs if input.noise], depth, on_window))
            pictures = iter(self.run([input for input in inputs if not input.noise], depth, on_window))
            return [next(frames if input.noise else pictures) for input in inputs]
        outputs = self.forward.run(inputs, depth, on_window)
        return [_restored(input, output) for input, output in zip(inputs, outputs)]

    def count(self, input: NetworkInput) -> int:
        """Return how many windows an input takes."""
        return self.forward_of(input).count(input)

    def forward_of(self, input: NetworkInput) -> Forward:
        """Return the network that restores an input, and the way in which it is run."""
        return (self.raw if self.raw and input.noise else self).forward

    def write(
        self,
        restored: Union[Restored, RestoredRaw],
        path: Path,
        depth: Optional[int] = None,
        metadata: Optional[bool] = None,
        colour_space: str = SRGB,
    ) -> None:
        """Write a result as `save` does."""
        if isinstance(restored, RestoredRaw):
            restored.write(path, depth, metadata, colour_space)
        else:
            restored.write(path, depth, metadata)


def _is_open(source: object) -> TypeGuard[BinaryIO]:
    """Whether a source is an open file."""
    return hasattr(source, "read") and hasattr(source, "seek") and not isinstance(source, Path)


def _closed(*inputs: np.ndarray) -> np.ndarray:
    raise UserError("the restorer is closed; make a new one")


def _restored_from(arguments: tuple[Any, ...], preprocess: Preprocess) -> Restorer:
    """Make a pickled restorer again."""
    restorer = Restorer(*arguments)
    restorer.preprocess = preprocess
    return restorer


def _restored(input: NetworkInput, output: np.ndarray) -> Union[Restored, RestoredRaw]:
    if input.noise is None:
        picture = output.transpose(1, 2, 0)
        if isinstance(input.values, RawImage) and picture.shape[:2] == input.picture_size:
            whiten(picture, input.values, input.ratio or 1.0, amplified=input.clip)
        if isinstance(input.values, RawImage):
            picture = stretched(picture, input.values.pixel_aspect)
        return Restored(upright(picture, input.orientation), input.ratio, input.form)
    assert isinstance(input.values, RawImage)
    assert input.camera is not None
    assert input.ratio is not None
    black = (0.0, 0.0, 0.0, 0.0)
    raw = replace(input.values, mosaic=output[0], black_level=black, white_level=1.0)
    return RestoredRaw(raw, input.camera, input.ratio, input.form)


class _OnDemand:
    """A network that is opened when it is called for the first time."""

    def __init__(self, open: Callable[[], Network]):
        self._open = open

    @cached_property
    def _network(self) -> Network:
        return self._open()

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        return self._network(*inputs)


def _open_folder(
    folder: Path,
    weights: Union[str, Path, None],
    backend: str,
    device: str,
    precision: str,
    threads: Optional[int],
    on_demand: bool = False,
) -> tuple[Network, Package, bool]:
    """Return the network, the folder's `inference.yml`, and whether the network draws its noise itself."""
    package = read_package(folder)
    if weights is not None:
        raise UserError(f"{folder}: an exported folder has its weights; leave weights away, or name an id")
    if backend == EAGER:
        raise UserError(
            f"{folder}: an exported folder runs without the network's code; "
            "for the eager backend name the network's id and its weights"
        )
    own_noise = bool(package.model_spec.latent) and "noise" not in package.graph.inputs
    opened = partial(open_network, folder, backend, device, precision, threads)
    return _OnDemand(opened) if on_demand else opened(), package, own_noise


def _published_preprocess(id: str) -> Preprocess:
    """Return the preprocessing of a network's published weights: the colours of their camera."""
    from paddle_restore.models.registry import training_camera

    camera = training_camera(id)
    return (
        Preprocess(white_balance=camera.white_balance, daylight=camera.daylight) if camera else Preprocess()
    )


def _open_model(
    id: str,
    weights: Union[str, Path, None],
    backend: str,
    device: str,
    precision: str,
    model_args: Mapping[str, Any],
    threads: Optional[int] = None,
) -> tuple[Network, ModelSpec]:
    # Imported here: running an exported folder must not load the code of networks.
    import paddle

    from paddle_restore.devices import check_device
    from paddle_restore.inference.eager import EagerNetwork
    from paddle_restore.models import create_model, list_models
    from paddle_restore.weights import load_weights

    if id not in list_models():
        raise UserError(f"{id}: is neither an exported folder nor a network ({', '.join(list_models())})")
    if backend != EAGER or precision != "fp32":
        raise UserError(
            f"{id}: a network by its id is run by its own code in fp32; "
            f"export it (export_model.py) for {backend} and {precision}"
        )
    if weights is None:
        raise UserError(f"{id}: needs weights; name a file (pretrained/README.md says where they come from)")
    check_device(device)
    paddle.set_device(device)
    model = create_model(id, **model_args)
    try:
        load_weights(model, Path(weights))
    except UserError as error:
        if model_args:
            raise
        raise UserError(
            f"{error}; {id} is built with its default arguments: for others, export it or use predict, or "
            "model_args from Python"
        ) from None
    return EagerNetwork(model, threads), model.spec
