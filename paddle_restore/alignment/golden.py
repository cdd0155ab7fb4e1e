"""A folder of golden values: what the authors' own code gave on weights that are drawn from their names.

models.json (PyTorch) and tf_models.json (TensorFlow) hold names, shapes and numbers of each network, and
NAME.npz its arrays. functions.json, packing.npz and imresize.npz belong to no network. Pictures lie beside
the folder. docs/networks.md tells how to make golden values of another network, size or training.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Union
from zipfile import BadZipFile

import numpy as np
from pydantic import Field

from paddle_restore.alignment.procedural import procedural_input, procedural_tf_weight, procedural_weight
from paddle_restore.errors import UserError, did_you_mean
from paddle_restore.models import MODELS, Golden
from paddle_restore.options import Options, validate

Arrays = dict[str, np.ndarray]

WEIGHTS = "weights/"
"""Prefix of the names of stored weights in NAME.npz."""

_DAMAGE = (OSError, ValueError, EOFError, TypeError, AttributeError, RuntimeError, zlib.error, BadZipFile)
"""What reading a file as .npz raises where it is missing or damaged."""


def aligned_models() -> list[str]:
    """Return the ids of the networks that bring golden values, sorted."""
    return [id for id, model in MODELS.items() if model.golden]


def golden_of(id: str, folder: Optional[GoldenFolder] = None) -> Golden:
    """Return which golden values network `id` must reproduce: those that `folder` has made for it itself, or
    those of its registration. Raises UserError where there are none.
    """
    golden = folder.own().get(id) if folder else None
    golden = golden or (MODELS[id].golden if id in MODELS else None)
    if golden is None:
        raise UserError(f"no golden values for {id!r}{did_you_mean(id, aligned_models())}")
    return golden


@dataclass(frozen=True)
class Reference:
    """The authors' numbers of one network; pictures are (N, C, H, W).

    weights        parameters under the names of their framework
    input          what the network got
    target         what its losses compared the output with
    output         what it gave for `input`
    latent         its noise input, where it has one (N, C, H, W)
    low            the low-resolution target of an invertible network
    optimizer      lr, betas, eps and clip_norm of the training steps
    losses         the loss before each of them
    gradients      L2 norm of each parameter's gradient in the first step, before clipping
    weights_after  L2 norm of each parameter after the last step
    """

    weights: Arrays
    input: np.ndarray
    target: np.ndarray
    output: np.ndarray
    latent: Optional[np.ndarray] = None
    low: Optional[np.ndarray] = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    gradients: dict[str, float] = field(default_factory=dict)
    weights_after: dict[str, float] = field(default_factory=dict)


class _Network(Options):
    """What golden values were made with, as their folder says it; the fields are those of `Golden`."""

    id: str
    tag: str = ""
    data: Optional[str] = None
    metrics: tuple[str, ...] = ()
    args: dict[str, Any] = Field(default_factory=dict)
    objective: Optional[dict[str, Any]] = None
    optimizer: str = "adam"
    ones: tuple[str, ...] = ()


class GoldenFolder:
    """Reads golden values. Raises UserError where a file is missing or damaged."""

    def __init__(self, path: Union[str, PathLike]):
        self.path = Path(path)
        if not (self.path / "models.json").is_file():
            raise UserError(f"{self.path}: is no folder of golden values, it has no models.json")

    def json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / name}: cannot be read as golden values ({error})") from None

    def arrays(self, name: str) -> Arrays:
        """Return everything in NAME.npz."""
        path = self.path / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
        except _DAMAGE as error:
            raise UserError(f"{path}: cannot be read as golden values ({error})") from None

    def own(self) -> dict[str, Golden]:
        """Return the golden values that say themselves what they were made with, by the id of their network.

        An entry of models.json says it under `network`: the id, and fields of `Golden`.
        """
        found = {}
        for name, values in self.json("models.json").get("models", {}).items():
            if isinstance(values, dict) and "network" in values:
                source = f"{self.path / 'models.json'}: models.{name}.network"
                network = validate(_Network, values["network"], source)
                found[network.id] = Golden(name, **network.model_dump(exclude={"id"}))
        return found

    @property
    def seed(self) -> int:
        """The seed that weights and inputs are drawn with."""
        seed = self.json("models.json").get("seed", 0)
        if not isinstance(seed, int) or seed < 0:
            raise UserError(f"{self.path / 'models.json'}: seed must be a whole number, 0 or more")
        return seed

    def holds(self, golden: Golden) -> bool:
        """Whether the folder has these golden values."""
        return (self.path / f"{golden.name}.npz").is_file()

    def reference(self, golden: Golden) -> Reference:
        """Return the numbers of a network."""
        models = self.json("models.json")
        values = models.get("models", {}).get(golden.name)
        try:
            if values:
                return self._pytorch(golden, values, self.seed)
            return self._tensorflow(golden, self.json("tf_models.json")[golden.name])
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.path}: the golden values of {golden.name!r} lack {error}") from None

    def _pytorch(self, golden: Golden, values: dict[str, Any], seed: int) -> Reference:
        arrays = self.arrays(golden.name)
        tag = golden.tag or golden.name

        def stored(name: str, draw: Callable[[], np.ndarray]) -> np.ndarray:
            return arrays[name].astype(np.float32) if name in arrays else draw()

        weights = {name[len(WEIGHTS) :]: array for name, array in arrays.items() if name.startswith(WEIGHTS)}
        output = arrays["output"]
        latent, low = arrays.get("latent"), arrays.get("low")
        if latent is not None and low is None:
            low = procedural_input(f"{tag}/lq", (latent.shape[0], 3, *latent.shape[2:]), seed)
        steps = values.get("adam", {})
        # InvDN's losses are rows of the total and its two terms.
        losses = steps.get("losses") or [total for total, *_ in steps.get("losses_total_forw_back", [])]
        gain = values.get("gain", 1.0)
        return Reference(
            weights=weights
            or {
                name: procedural_weight(name, shape, seed, gain) + name.endswith(golden.ones)
                for name, shape in values["state_dict"].items()
            },
            input=stored("input", lambda: procedural_input(f"{tag}/input", values["input_shape"], seed)),
            target=stored("target", lambda: procedural_input(f"{tag}/gt", output.shape, seed)),
            output=output,
            latent=latent,
            low=low,
            optimizer={
                **{key: steps[key] for key in ("lr", "betas", "eps") if key in steps},
                "clip_norm": steps.get("clip_norm", steps.get("clip_global_norm")),
            },
            losses=losses,
            gradients=values.get("grad_l2", {}),
            weights_after=values.get("weight_l2_after", {}),
        )

    def _tensorflow(self, golden: Golden, values: dict[str, Any]) -> Reference:
        tag = golden.tag or golden.name
        output = self.arrays(golden.name)["output_nhwc"].transpose(0, 3, 1, 2)
        seed = self.seed
        picture = procedural_input(f"{tag}/input", values["input_shape_nhwc"], seed)
        return Reference(
            weights={n: procedural_tf_weight(n, shape, seed) for n, shape in values["variables"].items()},
            input=np.ascontiguousarray(picture.transpose(0, 3, 1, 2)),
            target=procedural_input(f"{tag}/gt", output.shape, seed),
            output=output,
        )
