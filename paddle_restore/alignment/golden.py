"""A folder of golden values: what the authors' own code gave on weights rebuilt from their names.

models.json (PyTorch) and tf_models.json (TensorFlow) hold names, shapes and numbers of each
network, NAME.npz its arrays, functions.json, packing.npz and imresize.npz what belongs to no
network. Pictures lie beside the folder.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Union

import numpy as np

from paddle_restore.alignment.procedural import procedural_input, procedural_tf_weight, procedural_weight
from paddle_restore.errors import UserError


@dataclass(frozen=True)
class Reference:
    """The authors' numbers of one network, pictures as (N, C, H, W).

    weights       its parameters under their framework's names
    arrays        everything in NAME.npz, `output` among it
    optimizer     lr, betas and eps of the Adam steps
    losses        the loss before each of them
    gradients     L2 norm of each parameter's gradient in the first
    weights_after and of each parameter after the last
    """

    weights: dict[str, np.ndarray]
    input_shape: tuple[int, ...]
    arrays: dict[str, np.ndarray]
    optimizer: dict[str, Any] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    gradients: dict[str, float] = field(default_factory=dict)
    weights_after: dict[str, float] = field(default_factory=dict)

    def input(self, tag: str) -> np.ndarray:
        """The input named `tag`, drawn in the layout of the authors' framework."""
        if "output_nhwc" in self.arrays:
            return np.ascontiguousarray(
                procedural_input(f"{tag}/input", self.input_shape).transpose(0, 3, 1, 2)
            )
        return procedural_input(f"{tag}/input", self.input_shape)

    @property
    def output(self) -> np.ndarray:
        if "output_nhwc" in self.arrays:
            return self.arrays["output_nhwc"].transpose(0, 3, 1, 2)
        return self.arrays["output"]


class GoldenFolder:
    """Reads golden values; everything raises UserError where a file is missing or damaged."""

    def __init__(self, path: Union[str, PathLike]):
        self.path = Path(path)
        if not (self.path / "models.json").is_file():
            raise UserError(f"{self.path}: is no folder of golden values, it has no models.json")

    def json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / name}: cannot be read as golden values ({error})") from None

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Everything in NAME.npz."""
        path = self.path / f"{name}.npz"
        try:
            with zipfile.ZipFile(path) as archive:
                return {
                    Path(member).stem: np.lib.format.read_array(archive.open(member), allow_pickle=False)
                    for member in archive.namelist()
                }
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read as golden values ({error})") from None

    def reference(self, name: str) -> Reference:
        """The numbers of the network that has the golden name `name`."""
        pytorch = self.json("models.json").get("models", {}).get(name)
        try:
            return self._pytorch(name, pytorch) if pytorch else self._tensorflow(name)
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.path}: the golden values of {name!r} lack {error}") from None

    def _pytorch(self, name: str, values: dict[str, Any]) -> Reference:
        adam = values["adam"]
        # InvDN's are rows of the total and its two terms.
        losses = adam.get("losses") or [total for total, *_ in adam["losses_total_forw_back"]]
        return Reference(
            weights={
                key: procedural_weight(key, shape, gain=values["gain"])
                for key, shape in values["state_dict"].items()
            },
            input_shape=tuple(values["input_shape"]),
            arrays=self.arrays(name),
            optimizer={key: adam[key] for key in ("lr", "betas", "eps")},
            losses=losses,
            gradients=values["grad_l2"],
            weights_after=values.get("weight_l2_after", {}),
        )

    def _tensorflow(self, name: str) -> Reference:
        values = self.json("tf_models.json")[name]
        return Reference(
            weights={key: procedural_tf_weight(key, shape) for key, shape in values["variables"].items()},
            input_shape=tuple(values["input_shape_nhwc"]),
            arrays=self.arrays(name),
        )
