"""Run a network on a frame of any size, once or averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

import numpy as np

from paddle_restore.data.image import crop_or_pad
from paddle_restore.data.mosaic import unpacked
from paddle_restore.data.transforms import flip
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

Network = Callable[..., np.ndarray]
"""(N, C, H, W) float32 [, noise] -> (N, 3, scale*H, scale*W) float32; H and W are multiples of
spec.multiple, and a network with a latent takes its noise as the second argument."""

# (flip rows, flip columns, transpose), the identity first.
TRANSFORMS = tuple((bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(8))


@dataclass(frozen=True)
class Averaging:
    """How many outputs a picture is the mean of.

    self_ensemble  the eight flips and transpositions (Timofte et al., CVPR 2016)
    samples        fresh draws of the latent's noise, where the network has a latent
    seed           the same seed gives the same picture
    """

    self_ensemble: bool = False
    samples: int = 1
    seed: int = 0

    def __str__(self) -> str:
        """What reports say: published numbers are with or without."""
        parts = ["x8 self-ensemble" if self.self_ensemble else "no self-ensemble"]
        return ", ".join(parts + ([f"mean of {self.samples} samples"] if self.samples > 1 else []))


def restore_frame(
    network: Network, spec: ModelSpec, frame: np.ndarray, averaging: Optional[Averaging] = None
) -> np.ndarray:
    """(C, H, W) of any size -> (3, scale*H, scale*W), clipped to [0, 1].

    Raises UserError for a frame smaller than the network's multiple.
    """
    averaging = averaging or Averaging()
    transforms = TRANSFORMS if averaging.self_ensemble else TRANSFORMS[:1]
    total: Optional[np.ndarray] = None
    count = 0
    for number, transform in enumerate(transforms):
        turned = _transformed(spec, frame, transform)
        if turned is None:
            continue
        for sample in range(averaging.samples if spec.latent else 1):
            rng = np.random.default_rng([averaging.seed, number, sample])
            output = turned.back(_run(network, spec, turned.frame, rng))
            total = output if total is None else total + output
            count += 1
    return total if count == 1 else total / count


def _run(network: Network, spec: ModelSpec, frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pad by reflection at the bottom and right to the multiple, run, crop back."""
    height, width = frame.shape[1:]
    if min(height, width) < spec.multiple:  # there is too little to reflect
        factor = PACK_FACTOR[spec.input]
        least = spec.multiple * factor
        raise UserError(
            f"a frame of {width * factor}x{height * factor} pixels is too small for {spec.id}, "
            f"which needs at least {least}x{least}"
        )
    up = [-(-size // spec.multiple) * spec.multiple for size in (height, width)]
    inputs = [crop_or_pad(frame, *up)[None]]
    if spec.latent:
        shape = (1, spec.latent.channels, *(size // spec.latent.stride for size in up))
        inputs.append(rng.standard_normal(shape, np.float32))
    output = network(*inputs)[0]
    if output.shape != (3, *(size * spec.scale for size in up)) or not np.isfinite(output).all():
        raise UserError(
            f"{spec.id} gave no picture (its output has shape {output.shape} and may hold NaN); "
            "check the weights, the spec and the input's levels and ratio"
        )
    return np.clip(output[:, : height * spec.scale, : width * spec.scale], 0, 1)


@dataclass(frozen=True)
class _Turned:
    """A transformed input, and the way back for its output."""

    frame: np.ndarray
    transform: tuple[bool, bool, bool]
    offset: tuple[int, int]
    size: tuple[int, int]

    def back(self, output: np.ndarray) -> np.ndarray:
        rows, columns, transpose = self.transform
        (top, left), (height, width) = self.offset, self.size
        output = output[:, top : top + height, left : left + width]
        return flip(flip(output, False, False, transpose), rows, columns, False)


def _transformed(spec: ModelSpec, frame: np.ndarray, transform: tuple[bool, bool, bool]) -> Optional[_Turned]:
    """Flip the input; None where the sensor's colour pattern does not survive that.

    A flipped mosaic begins at another colour; it is grown by a row or column, so that the network
    sees the pattern that it knows, and the output is cropped.
    """
    if not spec.raw or transform == TRANSFORMS[0]:
        turned = flip(frame, *transform)
        return _Turned(
            np.ascontiguousarray(turned), transform, (0, 0), tuple(spec.scale * n for n in turned.shape[1:])
        )
    flipped = unpacked(frame).flipped(*transform)
    try:
        grown, offset = flipped.extended()
    except UserError:
        return None
    packed = grown.normalised() if spec.input == "mosaic" else grown.packed()
    return _Turned(packed, transform, offset, flipped.mosaic.shape)
