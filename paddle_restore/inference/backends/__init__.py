"""Libraries that run an exported folder. All give the same pixels.

A backend is a module of this package, or one of another package that an entry point of the group
`paddle_restore.inference.backends` names. Its name is the module's (or the entry point's). It has a class
`Network`, made from (folder, package, device, precision, threads), that is an `OpenedNetwork` and raises
UserError where library, folder or machine cannot do what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Protocol

from paddle_restore.devices import check_device_name, is_gpu, thread_count
from paddle_restore.errors import UserError, line_of
from paddle_restore.registry import find_modules

if TYPE_CHECKING:  # the help of the commands names the backends, and needs no libraries
    import numpy as np

    from paddle_restore.inference.package import Package

DEFAULT = "paddle"
EAGER = "eager"
"""What the command line calls a network's own code (`inference.eager`), which runs no exported folder."""
PRECISIONS = ("fp32", "bf16", "fp16")
"""fp32 everywhere; bf16 on CPUs that have it, by Paddle Inference and OpenVINO; fp16 on GPUs."""


class Network(Protocol):
    """A function of arrays: (N, C, H, W) float32 [, noise] -> (N, 3, scale*H, scale*W) float32.

    H and W are multiples of `spec.multiple`. A network with a latent takes its noise as the second array.
    """

    def __call__(self, *inputs: np.ndarray) -> np.ndarray: ...


class OpenedNetwork(Network, Protocol):
    """A network that a backend runs: `name` is what reports print, `threads` are those of a CPU."""

    name: str
    threads: int


def find_backends() -> dict[str, str]:
    """Return the modules of all backends by their names, the default first; none is imported."""
    found = find_modules(__name__)
    return {name: found[name] for name in sorted(found, key=lambda name: (name != DEFAULT, name))}


def open_network(
    folder: str | Path,
    backend: str = DEFAULT,
    device: str = "cpu",
    precision: str = "fp32",
    threads: Optional[int] = None,
) -> OpenedNetwork:
    """Open an exported folder as a function of NumPy arrays.

    The network maps (N, C, H, W) float32 [, noise] to (N, 3, scale*H, scale*W) float32, and carries
    `name` (what reports print) and `threads`. `backend` is `paddle` (Paddle Inference), `tensorrt`
    (Paddle Inference with TensorRT), `onnx` (ONNX Runtime), `openvino`, or the name of another package's
    backend; `device` is `cpu`, `gpu` or `gpu:N`; `threads` defaults to `thread_count()`.

    Raises UserError where the library is not installed, the folder has no graph for it, or library
    and machine do not have the precision.
    """
    backends = find_backends()
    if backend not in backends or precision not in PRECISIONS:
        raise UserError(
            f"no backend {backend!r} with precision {precision!r}; "
            f"backends: {', '.join(backends)}; precisions: {', '.join(PRECISIONS)}"
        )
    check_device_name(device)
    if precision == ("bf16" if is_gpu(device) else "fp16"):
        choices = "fp16 or fp32" if is_gpu(device) else "bf16 or fp32"
        raise UserError(f"{precision} does not run on {device} here; use {choices}")
    from paddle_restore.inference.package import read_package

    package = read_package(folder)
    network = _network_class(backend, backends[backend])
    return network(Path(folder), package, device, precision, threads or thread_count())


def _network_class(backend: str, module: str) -> Callable[..., OpenedNetwork]:
    try:
        return import_module(module).Network
    except Exception as error:  # another package's module may raise anything
        if module.startswith(f"{__name__}."):
            raise
        reason = f"{type(error).__name__}: {line_of(error, 200)}"
        raise UserError(f"backend {backend!r}: {module} cannot be imported ({reason})") from None


def graph_files(package: Package, folder: Path, graph: str) -> list[Path]:
    """Return the files of a graph: of `paddle` program and parameters, of `onnx` the only one.

    Raises UserError where `folder` was exported without that graph.
    """
    files = package.graph
    names = (files.onnx,) if graph == "onnx" else (files.program, files.parameters)
    paths = [folder / name for name in names if name is not None]
    if not paths:
        raise UserError(f"{folder}: has no {graph} graph; export it with --format {graph} (or all)")
    return paths
