"""Our weights -> a file."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Union

import paddle

from paddle_restore.data.files import atomic_path
from paddle_restore.errors import UserError
from paddle_restore.weights.safetensors import save_safetensors

FORMATS = (".pdparams", ".safetensors")


def check_output(path: Union[str, PathLike]) -> None:
    """Raise UserError where the name's ending is none of FORMATS."""
    if Path(path).suffix not in FORMATS:
        raise UserError(f"{path}: weights are written as {' or '.join(FORMATS)}; give one of these endings")


def write_weights(path: Union[str, PathLike], network: Any) -> None:
    """Write a network's weights as `.pdparams` or `.safetensors`, whole or not at all."""
    check_output(path)
    state = network.state_dict()
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".pdparams":
            paddle.save(state, str(temporary))
        else:
            save_safetensors(temporary, {name: tensor.numpy() for name, tensor in state.items()})
