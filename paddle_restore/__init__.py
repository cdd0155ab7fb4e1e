"""paddle_restore: image restoration with PaddlePaddle, from the sensor to the shipped model."""

from __future__ import annotations

import logging
import warnings

# Before Paddle: 2.6.2 exports its own zlib. Pillow and OpenCV would use it and could not read PNG.
import zlib  # noqa: F401
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paddle_restore.errors import UserError
    from paddle_restore.inference.restorer import Restorer
    from paddle_restore.models import list_models
    from paddle_restore.weights.pretrained import create_model

__version__ = "0.2.0"

if find_spec("paddle") is None:
    raise ImportError(
        "paddle_restore needs PaddlePaddle, which is not installed: "
        "pip install 'paddle_restore[cpu]' (or 'paddle_restore[gpu]' for NVIDIA GPUs)"
    )

# Loaded on first use, so that importing the package is cheap and serving does not import training code.
_LAZY = {
    "create_model": "paddle_restore.weights.pretrained",
    "list_models": "paddle_restore.models",
    "Restorer": "paddle_restore.inference.restorer",
    "UserError": "paddle_restore.errors",
}

__all__ = ["Restorer", "UserError", "__version__", "create_model", "list_models"]


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


def __getattr__(name: str) -> object:
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
