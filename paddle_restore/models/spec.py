"""What data loading, tiling, export and serving must know of a network, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Optional, Union

INPUT_CHANNELS = {"srgb": 3, "bayer": 4, "xtrans": 9, "mosaic": 1}
"""Channels of each input kind: sRGB picture, packed Bayer, packed X-Trans, one-channel mosaic."""

PACK_FACTOR = {"srgb": 1, "bayer": 2, "xtrans": 3, "mosaic": 1}
"""Sensor (or picture) pixels per input pixel, along each side."""


@dataclass(frozen=True)
class Latent:
    """A noise input: `channels` at 1/`stride` of the input's height and width (InvDN)."""

    channels: int
    stride: int

    def __post_init__(self) -> None:
        for name in ("channels", "stride"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 < value <= 4096:
                raise ValueError(f"latent: {name} must be a positive integer, not {value!r}")

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the noise's (channels, H, W) for an input of height x width, multiples of the stride."""
        return self.channels, height // self.stride, width // self.stride


@dataclass(frozen=True)
class ModelSpec:
    """A network as an exported folder's inference.yml describes it.

    input     `srgb`, `bayer` (packed, 4 channels), `xtrans` (packed, 9 channels) or `mosaic` (1 channel)
    scale     output pixels per input pixel, along each side
    multiple  the input's height and width must be divisible by this
    halo      input pixels around a pixel that its output depends on, in each direction, or "global" where
              the network pools over the whole picture
    latent    the noise input, if there is one
    output    `picture` (sRGB, 3 channels in [0, 1]), or `mosaic`: what came in, stabilised
              (`data/stabilise.py`) and packed, less its noise
    memory    bytes of working memory per input pixel (measured: docs/restoring.md), by which the size of
              tiles is chosen; 0 where it was not measured
    amplifier the amplification of a single frame is Lamba's estimate, not the exposure of its picture
    clip      the amplified mosaic is clipped at 1, as SID's authors do and Lamba's do not
    """

    id: str
    input: str
    scale: int
    multiple: int
    halo: Union[int, str]
    paper: str
    repository: str
    licence: str
    latent: Optional[Latent] = None
    memory: int = 0
    output: str = "picture"
    clip: bool = True
    amplifier: bool = False

    def __post_init__(self) -> None:
        if self.input not in INPUT_CHANNELS:
            raise ValueError(f"{self.id}: input must be one of {sorted(INPUT_CHANNELS)}, not {self.input!r}")
        if self.output not in ("picture", "mosaic"):
            raise ValueError(f"{self.id}: output must be picture or mosaic, not {self.output!r}")
        if self.output == "mosaic" and not (self.raw and self.scale == 1):
            raise ValueError(f"{self.id}: output mosaic needs a raw input and scale 1")
        for name in ("scale", "multiple"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 < value <= 4096:
                raise ValueError(f"{self.id}: {name} must be a positive integer, not {value!r}")
        if self.latent and self.multiple % self.latent.stride:
            raise ValueError(
                f"{self.id}: multiple {self.multiple} must be one of the latent's stride {self.latent.stride}"
            )
        if not (isinstance(self.memory, int) and self.memory >= 0):
            raise ValueError(f"{self.id}: memory must be a number of bytes, not {self.memory!r}")
        for name in ("clip", "amplifier"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{self.id}: {name} must be true or false, not {getattr(self, name)!r}")
        if self.halo != "global" and not (isinstance(self.halo, int) and self.halo >= 0):
            raise ValueError(f"{self.id}: halo must be a number of pixels or 'global', not {self.halo!r}")

    @property
    def in_channels(self) -> int:
        return INPUT_CHANNELS[self.input]

    @property
    def out_channels(self) -> int:
        return self.in_channels if self.output == "mosaic" else 3

    @property
    def raw(self) -> bool:
        """True where the network reads sensor data and not a picture."""
        return self.input != "srgb"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelSpec:
        latent = values.get("latent")
        # Folders of earlier versions lack the key. Lamba's network alone read a mosaic.
        values = {"amplifier": values.get("input") == "mosaic", **values}
        return cls(**{**values, "latent": Latent(**latent) if latent else None})
