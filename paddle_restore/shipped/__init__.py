"""The weights that come with the package: a folder for each network that has some.

A folder is an exported model (`inference.yml`, graphs for Paddle Inference and ONNX). Its file
`weights.safetensors` is what a training can start from. docs/denoiser.md is the card of `denoise_unet`,
docs/raw_denoiser.md that of `denoise_raw`.
"""

from __future__ import annotations

from pathlib import Path

from paddle_restore.errors import UserError

PICTURES = "denoise_unet"
"""Id of the network for noisy pictures, which is taken for them where the user names no model."""

RAW = "denoise_raw"
"""Id of the network for noisy raw files, which is taken for them where the user names no model."""

SHIPPED = "shipped"
"""What stands in place of a weights file for the weights of the package."""

_FOLDER = Path(__file__).parent
_MANIFEST, _WEIGHTS = "inference.yml", "weights.safetensors"


def is_shipped(id: str) -> bool:
    """Whether weights of network `id` come with the package."""
    return id in (PICTURES, RAW)


def shipped_folder(id: str = PICTURES) -> Path:
    """Return the exported folder of network `id`. Raises UserError where there is none."""
    return _require(id, _MANIFEST).parent


def shipped_weights(id: str) -> Path:
    """Return the weights file of network `id`. Raises UserError where there is none."""
    return _require(id, _WEIGHTS)


def _require(id: str, name: str) -> Path:
    if not is_shipped(id):
        raise UserError(
            f"no weights of {id} come with this package, only those of {PICTURES} and {RAW}; "
            "name a weights file"
        )
    path = _FOLDER / id / name
    if not path.is_file():
        raise UserError(
            f"{path}: is missing, so this installation has no weights of its own; "
            "install the package again, or name a model"
        )
    return path
