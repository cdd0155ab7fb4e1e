"""paddle_restore: image restoration with PaddlePaddle, from the sensor to the shipped model."""

from __future__ import annotations

import logging
import warnings

# Before Paddle: 2.6.2 exports its own zlib. Pillow and OpenCV would use it and could not read PNG.
import zlib  # noqa: F401
from importlib import import_module
from importlib.util import find_spec

__version__ = "0.2.0"

if find_spec("paddle") is None:
    raise ImportError(
        "paddle_restore needs PaddlePaddle, which is not installed: "
        "pip install 'paddle_restore[cpu]' (or 'paddle_restore[gpu]' for NVIDIA GPUs)"
    )

# Loaded on first use, so that importing the package is cheap and serving does not import training code.
_LAZY = {
    "create_model": "paddle_restore.models",
    "list_models": "paddle_restore.models",
    "Restorer": "paddle_restore.inference.restorer",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        _import_paddle()
        value = globals()[name] = getattr(import_module(_LAZY[name]), name)
        return value
    raise AttributeError(f"module 'paddle_restore' has no attribute {name!r}")


def _import_paddle() -> None:
    """Import Paddle without its advice on a compiler cache, and keep the root logger, which it changes."""
    import_module("paddle_restore.devices")  # reads OMP_NUM_THREADS before Paddle sets it
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No ccache found")
        import_module("paddle")
    root.handlers[:] = handlers
    root.setLevel(level)
