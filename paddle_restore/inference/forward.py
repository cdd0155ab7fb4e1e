"""Run a network on frames of any size: in tiles, in batches, once or averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Optional

import numpy as np

from paddle_restore.data.mosaic import unpacked
from paddle_restore.data.pixels import flip, to_integer
from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.backends import Network
from paddle_restore.inference.inputs import IDENTITY, NetworkInput, Transform, noise_window
from paddle_restore.inference.tiling import Assembly, Axis, Tiling, plan
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

# The eight flips and transpositions, the identity first.
TRANSFORMS: tuple[Transform, ...] = tuple((bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(8))

MAX_STRENGTH = 1.5


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

    def __post_init__(self) -> None:
        if self.samples < 1 or self.seed < 0:
            raise UserError(f"samples must be 1 or more, and seed 0 or more, not {self.samples}, {self.seed}")

    def __str__(self) -> str:
        """Text for reports, because published numbers are with or without averaging."""
        parts = ["x8 self-ensemble" if self.self_ensemble else "no self-ensemble"]
        return ", ".join(parts + ([f"mean of {self.samples} samples"] if self.samples > 1 else []))


@dataclass(frozen=True)
class Forward:
    """A network and the way in which it is run.

    batch_size  windows of one size that the network gets at once
    own_noise   the network draws its latent's noise itself, so only whole frames can be run
    strength    s of input + s * (output - input), from 0 (the input itself) to MAX_STRENGTH; only of networks
                that take a picture or mosaic to one of the same size
    """

    network: Network
    spec: ModelSpec
    averaging: Averaging = field(default_factory=Averaging)
    tiling: Tiling = field(default_factory=Tiling)
    batch_size: int = 1
    own_noise: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"batch_size must be 1 or more, not {self.batch_size!r}")
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise UserError(f"strength must be a number from 0 to {MAX_STRENGTH}, not {self.strength!r}")
        if self.strength != 1 and not self.has_strength(self.spec):
            raise UserError(
                f"strength: {self.spec.id} develops raw files; only networks that restore pictures or raw "
                "frames have a strength; leave it out"
            )

    @staticmethod
    def has_strength(spec: ModelSpec) -> bool:
        """Whether a network's output can be blended with its input."""
        return spec.scale == 1 and (spec.output == "mosaic" or not spec.raw)

    def run(
        self,
        inputs: Sequence[NetworkInput],
        depth: Optional[int] = None,
        on_window: Callable[[], object] = lambda: None,
    ) -> list[np.ndarray]:
        """Restore frames: (3, H, W) each, float32 in [0, 1], or integers of `depth` bits.

        A network that restores mosaics gives (1, H, W) float32, where 0 is black, 1 is white and nothing is
        clipped. `on_window` is called after every window. Raises UserError for a frame below the network's
        multiple, a tile too small for its context, and an output that is not a picture.
        """
        mosaic = self.spec.output == "mosaic"
        channels, depth = (1, None) if mosaic else (3, depth)
        pictures = [
            _Picture((*self._output_size(x), channels), sum(1 for _ in self._passes(x)), depth)
            for x in inputs
        ]
        batch: list[_Tile] = []
        for tile in chain.from_iterable(map(self._tiles, inputs, pictures)):
            if batch and tile.shape != batch[0].shape:
                self._run_batch(batch)
                batch = []
            batch.append(tile)
            if len(batch) == self.batch_size:
                self._run_batch(batch)
                batch = []
            on_window()
        if batch:
            self._run_batch(batch)
        return [picture.finished() for picture in pictures]

    def count(self, input: NetworkInput) -> int:
        """Return how many windows a frame takes."""
        plans = map(self._plan, self._passes(input))
        return sum(len(rows) * len(columns) for rows, columns in plans)

    def work(self, height: int, width: int) -> int:
        """Return how many of its input pixels the network computes for a picture or raw frame of this size.

        Overlaps of windows and the passes of an average are counted.
        """
        factor = PACK_FACTOR[self.spec.input]
        rows, columns = plan(self.spec, height // factor, width // factor, self.tiling, whole=self.own_noise)
        passes = len(TRANSFORMS) if self.averaging.self_ensemble else 1
        passes *= self.averaging.samples if self.spec.latent else 1
        return passes * sum(row.size for row in rows) * sum(column.size for column in columns)

    def _passes(self, input: NetworkInput) -> Iterator[_Pass]:
        for number, transform in enumerate(TRANSFORMS if self.averaging.self_ensemble else (IDENTITY,)):
            flipped = input.flipped(transform)
            if flipped is not None:
                for sample in range(self.averaging.samples if self.spec.latent else 1):
                    yield _Pass(*flipped, transform, (self.averaging.seed, number, sample))

    def _output_size(self, input: NetworkInput) -> tuple[int, int]:
        height, width = input.picture_size
        if self.spec.output == "mosaic":
            return height, width
        factor, scale = PACK_FACTOR[self.spec.input], self.spec.scale
        return height * scale // factor, width * scale // factor

    def _plan(self, pass_: _Pass) -> tuple[Axis, Axis]:
        what = f"{pass_.input.name}: a frame" if pass_.input.name else "a frame"
        return plan(self.spec, *pass_.input.size, self.tiling, self.own_noise, what)

    def _tiles(self, input: NetworkInput, picture: _Picture) -> Iterator[_Tile]:
        for pass_ in self._passes(input):
            rows, columns = self._plan(pass_)
            assembly = Assembly(self.spec.scale, rows, columns, self.spec.out_channels)
            for row, column in product(rows, columns):
                yield _Tile(pass_, assembly, picture, (row.start, column.start, row.size, column.size))

    def call(self, *arrays: np.ndarray) -> np.ndarray:
        """Call the network: (N, C, H, W) [, noise]. Raises UserError where it cannot take the arrays."""
        try:
            return self.network(*arrays)
        except (MemoryError, UserError):
            raise
        except Exception as error:  # each library has its own exceptions
            reason = line_of(error, 200)
            raise UserError(
                f"{self.spec.id}: the network cannot take this input ({reason}); its graph and spec may not "
                "belong together"
            ) from error

    def _run_batch(self, tiles: list[_Tile]) -> None:
        arrays = [np.stack([tile.pass_.input.window(*tile.window) for tile in tiles])]
        if self.spec.latent:
            noise = [noise_window(self.spec.latent, tile.pass_.seed, *tile.window) for tile in tiles]
            arrays.append(np.stack(noise))
        outputs = self.call(*arrays)
        shape = (len(tiles), self.spec.out_channels, *(side * self.spec.scale for side in tiles[0].shape))
        if outputs.shape != shape or not np.isfinite(outputs).all():
            raise UserError(
                f"{self.spec.id} gave no picture (its output has shape {outputs.shape} and may hold NaN); "
                "check the weights, the spec and the input's levels and ratio"
            )
        for tile, output in zip(tiles, self._finished(tiles, arrays[0], outputs)):
            rows = tile.assembly.add(output)
            if rows:
                tile.picture.add(tile.pass_, *rows)

    def _finished(self, tiles: list[_Tile], inputs: np.ndarray, outputs: np.ndarray) -> Iterator[np.ndarray]:
        """Yield pictures in [0, 1], or packed mosaics."""
        if self.spec.output == "mosaic":
            for tile, output in zip(tiles, outputs):
                yield tile.pass_.input.denoised(output, tile.window, self.strength)
            return
        if self.strength != 1:
            outputs = inputs + np.float32(self.strength) * (outputs - inputs)
        for output in outputs:
            # In place: copying a large picture takes up to a tenth of the network's time.
            yield np.clip(output, 0, 1, out=output if output.flags.writeable else None)


@dataclass(frozen=True)
class _Pass:
    """One run of the network over a whole frame. A restored picture is the mean of its passes.

    offset  rows and columns that `input` has more than the file at its top and left
    seed    of the latent's noise
    """

    input: NetworkInput
    offset: tuple[int, int]
    transform: Transform
    seed: tuple[int, ...]


@dataclass(frozen=True)
class _Tile:
    """One window of a pass, and where its output goes."""

    pass_: _Pass
    assembly: Assembly
    picture: _Picture
    window: tuple[int, int, int, int]  # top, left, height, width in input pixels

    @property
    def shape(self) -> tuple[int, int]:
        return self.window[2:]


class _Picture:
    """A restored picture (3, H, W) or mosaic (1, H, W): the mean of `count` passes.

    Those of a single pass can be rounded to integers. Rows of a mosaic come packed.
    """

    def __init__(self, shape: tuple[int, int, int], count: int, depth: Optional[int]):
        self._count, self._depth = count, depth
        dtype = np.float32 if depth is None or count > 1 else np.uint8 if depth == 8 else np.uint16
        self._values = np.zeros(shape, dtype).transpose(2, 0, 1)

    def add(self, pass_: _Pass, top: int, rows: np.ndarray) -> None:
        """Add output rows (C, n, W) of a pass, from row `top` on, without what its input was grown by."""
        if len(self._values) == 1:
            top, rows = 2 * top, unpacked(rows).mosaic[None]
        view = flip(self._values, *pass_.transform)
        above, left = pass_.offset
        first = max(top - above, 0)
        last = min(top - above + rows.shape[1], view.shape[1])
        if first >= last:
            return
        part = rows[:, first + above - top : last + above - top, left : left + view.shape[2]]
        if self._depth and self._values.dtype != np.float32:
            # With the rows first, `to_integer` works in strips that stay in the cache.
            view[:, first:last] = to_integer(part.transpose(1, 2, 0), self._depth).transpose(2, 0, 1)
        elif self._count == 1:
            view[:, first:last] = part
        else:
            view[:, first:last] += part / np.float32(self._count)

    def finished(self) -> np.ndarray:
        if not self._depth or self._values.dtype != np.float32:
            return self._values
        # Channel by channel: the floats of the conversion would need more memory than all the rest.
        return np.stack([to_integer(plane, self._depth) for plane in self._values])


def restore_frame(
    network: Network,
    spec: ModelSpec,
    frame: np.ndarray,
    averaging: Optional[Averaging] = None,
    tiling: Optional[Tiling] = None,
) -> np.ndarray:
    """Restore one network input of any size, in one piece unless told: (C, H, W) -> (3, scale*H, scale*W).

    A network that restores mosaics gives what it is trained to give: stabilised planes, (4, H, W).
    """
    if spec.output == "mosaic":
        return network(frame[None])[0]
    values = unpacked(frame) if spec.raw else frame
    forward = Forward(network, spec, averaging or Averaging(), tiling or Tiling("none"))
    return forward.run([NetworkInput(values, spec.input, clip=spec.clip)])[0]
