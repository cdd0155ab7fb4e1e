"""Restore files or arrays with a network, for every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import numpy as np

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.formats import is_raw, output_titles
from paddle_restore.data.image import PLAIN, Form, output_format, read_with_form, write_image
from paddle_restore.data.metadata import NO_METADATA, raw_metadata
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.pixels import upright
from paddle_restore.data.raw import read_raw, warn_of_black_level
from paddle_restore.errors import UserError
from paddle_restore.inference.backends import DEFAULT, EAGER, Network, open_network
from paddle_restore.inference.forward import Averaging, Forward
from paddle_restore.inference.inputs import NetworkInput
from paddle_restore.inference.package import METRICS, Package, Preprocess, read_package
from paddle_restore.inference.tiling import BUDGET, Tiling
from paddle_restore.models.spec import ModelSpec
from paddle_restore.shipped import PICTURES, is_shipped, shipped_folder

Source = Union[str, Path, np.ndarray, RawImage]
"""A file, a picture (H, W, 3) or (H, W) as uint8, uint16 or float in [0, 1], or a raw frame."""


@dataclass(frozen=True)
class Restored:
    """A finished picture, upright, and the ratio that was used (raw only).

    picture  (H, W, 3) float32 in [0, 1], or integers of the depth that was asked for
    form     the input picture's depth, greyness, alpha channel and metadata: `form.shape(picture)` is the
             picture in them
    """

    picture: np.ndarray
    ratio: Optional[float]
    form: Form = PLAIN


class Restorer:
    """A network with all that it needs to restore files: raw files or pictures, as its spec says.

    restorer = Restorer()                           # the weights that come with the package
    restorer = Restorer("exported/mirnet_v2")
    picture = restorer("noisy.jpg")                 # (H, W, 3) float32 in [0, 1]
    restorer.save("noisy.jpg", "clean.jpg")         # in the input's depth, with its metadata
    """

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
    ):
        """Open an exported folder, or a network by its id with a weights file, which its own code runs.

        model       folder of export_model.py, or an id such as "mirnet_v2"; None takes the network for noisy
                    pictures whose weights come with the package
        weights     model.pdparams, for an id only; an id whose weights come with the package needs none
        backend     "paddle" (Paddle Inference, the default for a folder), "onnx", "openvino"; an id has
                    "eager" only
        precision   "fp32", or "bf16" where backend and processor have it
        device      "cpu" or "gpu"
        tile        side of the square windows in the picture's pixels, "auto" by `memory`, or "none"
        memory      GB of working memory that tile="auto" gives the network
        batch_size  windows (or small pictures) that the network gets at once
        averaging   self-ensemble, and samples of a latent
        threads     of the network on a CPU, by default `devices.thread_count()`
        strength    how much of the noise is removed: 0 (none) to 1.5, for networks that restore pictures

        Raises UserError for combinations that cannot be opened.
        """
        tiling = Tiling(tile, memory)
        if model is None and weights is not None:
            raise UserError(f"{weights}: weights need the id of their network; name it as model")
        if model is None or (weights is None and not Path(model).is_dir() and is_shipped(str(model))):
            model = shipped_folder(str(model or PICTURES))
        if Path(model).is_dir():
            network, package, own_noise = _open_folder(
                Path(model), weights, backend or DEFAULT, device, precision, threads
            )
            spec, self.preprocess, self.metrics = package.model_spec, package.preprocess, package.metrics
        else:
            network, spec = _open_model(str(model), weights, backend or EAGER, device, precision, threads)
            self.preprocess, self.metrics, own_noise = Preprocess(), METRICS, False
        if own_noise and isinstance(tile, int):
            raise UserError(
                f"{model}: draws its noise itself, so tiles of it do not fit together; "
                "export it with --noise input, or use tile none"
            )
        averaging = averaging or Averaging()
        self.forward = Forward(network, spec, averaging, tiling, batch_size, own_noise, strength)

    @classmethod
    def of(cls, forward: Forward, preprocess: Preprocess, metrics: tuple[str, ...] = METRICS) -> Restorer:
        """Make a restorer of a network that is open already; `metrics` compare pictures with references."""
        restorer = cls.__new__(cls)
        restorer.forward, restorer.preprocess, restorer.metrics = forward, preprocess, metrics
        return restorer

    @property
    def spec(self) -> ModelSpec:
        return self.forward.spec

    def __call__(self, source: Source, ratio: Optional[float] = None) -> np.ndarray:
        """Restore one file or array: (H, W, 3) float32 in [0, 1], upright.

        `ratio` None estimates a raw file's amplification from the file alone. Raises UserError for
        input that cannot be read or that the network does not take.
        """
        return self.run([self.read(source, ratio)])[0].picture

    def save(
        self,
        source: Source,
        output: Union[str, Path],
        ratio: Optional[float] = None,
        depth: Optional[int] = None,
        metadata: bool = True,
    ) -> Restored:
        """Restore `source` into the file `output`, whose suffix says its format; return the picture.

        `depth` (8 or 16 bits) is the input's own unless given, and 16 for raw files where the format has it.
        The input's colour profile and EXIF are copied, unless `metadata` is False.
        Raises UserError like `__call__`, and if the file cannot be written.
        """
        if depth not in (None, 8, 16):
            raise UserError(f"depth must be 8 or 16, not {depth!r}")
        output_format(Path(output))
        input = self.read(source, ratio)
        restored = self.run([input], depth or input.form.depth)[0]
        del input  # writing a large picture needs its memory
        self.write(restored, Path(output), depth, metadata)
        return restored

    # The steps of `save`, for callers that overlap or time them.

    def read(self, source: Source, ratio: Optional[float] = None) -> NetworkInput:
        """Decode a file (or take an array) as the network's input. Raises UserError like `__call__`."""
        if isinstance(source, str):
            source = Path(source)
        if not self.spec.raw:
            return self._read_picture(source)
        if isinstance(source, np.ndarray):
            raise UserError(
                f"{self.spec.id} restores raw frames: give a raw file or a RawImage, not an array, "
                "which says nothing of levels and colours"
            )
        if ratio is not None and not 0 < ratio < float("inf"):
            raise UserError(f"ratio must be a number above 0, not {ratio!r}")
        raw = source if isinstance(source, RawImage) else read_raw(source)
        warn_of_black_level(raw, self.preprocess.black_level)
        raw = raw.with_levels(self.preprocess.black_level, self.preprocess.white_level)
        if ratio is None:
            options = self.preprocess
            ratio = estimate_ratio(*raw.histogram(), m=options.amplifier_m, limited=options.amplifier_limited)
        form = Form(depth=16, metadata=raw_metadata(raw.path) if raw.path else NO_METADATA)
        return NetworkInput(raw, self.spec.input, ratio, raw.orientation, form, self.spec.clip)

    def _read_picture(self, source: Union[Path, np.ndarray, RawImage]) -> NetworkInput:
        if isinstance(source, RawImage) or (isinstance(source, Path) and is_raw(source)):
            name = source.path if isinstance(source, RawImage) else source
            what = f"the default model ({PICTURES})" if self.spec.id == PICTURES else self.spec.id
            raise UserError(
                f"{name}: is a raw file, and {what} restores pictures ({output_titles()}); "
                "name a raw network such as lamba or sid_unet as model"
            )
        picture, form = (
            (_checked(source), PLAIN) if isinstance(source, np.ndarray) else read_with_form(source)
        )
        return NetworkInput(picture.transpose(2, 0, 1), self.spec.input, form=form)

    def run(
        self,
        inputs: Sequence[NetworkInput],
        depth: Optional[int] = None,
        on_window: Callable[[], object] = lambda: None,
    ) -> list[Restored]:
        """Restore inputs: float32 pictures, or integers of `depth` bits, which take less memory.

        `on_window` is called after every window that the network has restored.
        """
        outputs = self.forward.run(inputs, depth, on_window)
        return [
            Restored(upright(output.transpose(1, 2, 0), input.orientation), input.ratio, input.form)
            for input, output in zip(inputs, outputs)
        ]

    def write(
        self, restored: Restored, path: Path, depth: Optional[int] = None, metadata: bool = True
    ) -> None:
        """Write a picture in the form of its input, with the input's profile and metadata or without."""
        form = restored.form
        write_image(path, form.shape(restored.picture, depth), metadata=form.metadata if metadata else None)


def _checked(picture: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) of any number type -> (H, W, 3) uint8, uint16 or float32 in [0, 1]."""
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise UserError(f"a picture has the shape (H, W, 3) or (H, W), and this array {picture.shape}")
    if picture.dtype in (np.uint8, np.uint16):
        return picture
    if picture.dtype.kind != "f":
        raise UserError(f"a picture is uint8, uint16 or float, and this array {picture.dtype}")
    if not np.isfinite(picture).all():
        raise UserError("the picture holds NaN or infinite values")
    if picture.min() < -1e-3 or picture.max() > 1 + 1e-3:
        raise UserError(
            f"a float picture lies in [0, 1], and this array in [{picture.min():g}, {picture.max():g}]; "
            "divide it, or give integers"
        )
    return picture.astype(np.float32, copy=False)


def _open_folder(
    folder: Path,
    weights: Union[str, Path, None],
    backend: str,
    device: str,
    precision: str,
    threads: Optional[int],
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
    return open_network(folder, backend, device, precision, threads), package, own_noise


def _open_model(
    id: str,
    weights: Union[str, Path, None],
    backend: str,
    device: str,
    precision: str,
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
    model = create_model(id)
    try:
        load_weights(model, Path(weights))
    except UserError as error:
        raise UserError(
            f"{error}; {id} is built with its default arguments: for others, export it or use predict"
        ) from None
    return EagerNetwork(model, threads), model.spec
