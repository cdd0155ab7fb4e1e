"""Write our weights to a file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Union

import numpy as np
import paddle
from paddle import nn
from safetensors.numpy import save_file

from paddle_restore.data.files import atomic_path
from paddle_restore.errors import UserError

FORMATS = (".pdparams", ".safetensors")


def check_output(path: Union[str, PathLike]) -> None:
    """Raise UserError where the name's ending is none of FORMATS."""
    if Path(path).suffix not in FORMATS:
        raise UserError(f"{path}: weights are written as {' or '.join(FORMATS)}; give one of these endings")


def write_weights(path: Union[str, PathLike], network: nn.Layer) -> None:
    """Write a network's weights as `.pdparams` or `.safetensors`. The file appears whole or not at all."""
    check_output(path)
    state = network.state_dict()
    with atomic_path(Path(path)) as temporary:
        if Path(path).suffix == ".pdparams":
            paddle.save(state, str(temporary))
        else:
            save_safetensors(temporary, {name: tensor.numpy() for name, tensor in state.items()})


def save_safetensors(path: Path, state: Mapping[str, np.ndarray]) -> None:
    # The library writes wrong numbers for arrays that are not contiguous.
    save_file({name: np.asarray(array, order="C") for name, array in state.items()}, str(path))
