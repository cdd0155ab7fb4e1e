"""paddle_restore: image restoration with PaddlePaddle, from the sensor to the shipped model."""

from __future__ import annotations

# Before Paddle: 2.6.2 exports a zlib of its own, which Pillow and OpenCV would take for theirs, and
# then no PNG can be read.
import zlib  # noqa: F401
from importlib import import_module
from importlib.util import find_spec

__version__ = "0.2.0"

if find_spec("paddle") is None:
    raise ImportError(
        "paddle_restore needs PaddlePaddle, which is not installed: "
        "pip install 'paddle_restore[cpu]' (or 'paddle_restore[gpu]' for NVIDIA GPUs)"
    )

# Loaded on first use: importing the package stays cheap, and serving an exported model
# does not pull in what training needs.
_LAZY = {
    "create_model": "paddle_restore.models",
    "list_models": "paddle_restore.models",
    "Restorer": "paddle_restore.inference.restorer",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'paddle_restore' has no attribute {name!r}")
