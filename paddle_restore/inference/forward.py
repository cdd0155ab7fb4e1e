"""Run a network on frames of any size: in tiles, in batches, once or averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any, Optional

import numpy as np

from paddle_restore.data.image import to_integer
from paddle_restore.data.mosaic import unpacked
from paddle_restore.data.pixels import flip
from paddle_restore.errors import UserError, line_of
from paddle_restore.inference.noise import noise_window
from paddle_restore.inference.source import IDENTITY, Source, Turned
from paddle_restore.inference.tiling import Assembly, Axis, Tiling, plan
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

Network = Callable[..., np.ndarray]
"""(N, C, H, W) float32 [, noise] -> (N, 3, scale*H, scale*W) float32; H and W are multiples of
spec.multiple, and a network with a latent takes its noise as the second argument."""

# The eight flips and transpositions, the identity first.
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

    def __post_init__(self) -> None:
        if self.samples < 1 or self.seed < 0:  # the mean of none would be a black picture
            raise UserError(f"samples must be 1 or more, and seed 0 or more, not {self.samples}, {self.seed}")

    def __str__(self) -> str:
        """What reports say: published numbers are with or without."""
        parts = ["x8 self-ensemble" if self.self_ensemble else "no self-ensemble"]
        return ", ".join(parts + ([f"mean of {self.samples} samples"] if self.samples > 1 else []))


@dataclass(frozen=True)
class Forward:
    """A network and the way in which it is run.

    batch_size  windows of one size that the network gets at once
    own_noise   the network draws its latent's noise itself, so that tiles could not be made to fit
    """

    network: Network
    spec: ModelSpec
    averaging: Averaging = field(default_factory=Averaging)
    tiling: Tiling = field(default_factory=Tiling)
    batch_size: int = 1
    own_noise: bool = False

    def run(
        self,
        sources: Sequence[Source],
        depth: Optional[int] = None,
        on_window: Callable[[], Any] = lambda: None,
    ) -> list[np.ndarray]:
        """Restore frames: (3, H, W) each, float32 in [0, 1], or integers of `depth` bits.

        `on_window` is called after every window. Raises UserError for a frame below the network's multiple,
        a tile too small for its context, and an output that is no picture.
        """
        canvases = [_Canvas(self._size(source), len(list(self._passes(source))), depth) for source in sources]
        batch: list[_Window] = []
        for window in chain.from_iterable(map(self._windows, sources, canvases)):
            if batch and window.shape != batch[0].shape:
                self._run_batch(batch)
                batch = []
            batch.append(window)
            if len(batch) == self.batch_size:
                self._run_batch(batch)
                batch = []
            on_window()
        if batch:
            self._run_batch(batch)
        return [canvas.values for canvas in canvases]

    def count(self, source: Source) -> int:
        """Return how many windows a frame takes."""
        plans = (self._plan(turned) for turned, _ in self._passes(source))
        return sum(len(rows.spans) * len(columns.spans) for rows, columns in plans)

    def _passes(self, source: Source) -> Iterator[tuple[Turned, tuple[int, ...]]]:
        """Yield every flipped input and the seed of its noise, one for each output that is averaged."""
        for number, transform in enumerate(TRANSFORMS if self.averaging.self_ensemble else (IDENTITY,)):
            turned = source.turned(transform)
            if turned is not None:
                for sample in range(self.averaging.samples if self.spec.latent else 1):
                    yield turned, (self.averaging.seed, number, sample)

    def _size(self, source: Source) -> tuple[int, int]:
        factor = PACK_FACTOR[self.spec.input]
        return tuple(side * self.spec.scale // factor for side in source.picture_size)

    def _plan(self, turned: Turned) -> tuple[Axis, Axis]:
        return plan(self.spec, *turned.size, self.tiling, alone=self.own_noise)

    def _windows(self, source: Source, canvas: _Canvas) -> Iterator[_Window]:
        for turned, seed in self._passes(source):
            rows, columns = self._plan(turned)
            assembly = Assembly(self.spec, rows, columns)
            for row, column in product(rows.spans, columns.spans):
                place = (row.start, column.start, rows.size, columns.size)
                yield _Window(turned, assembly, canvas, seed, place)

    def _run_batch(self, batch: list[_Window]) -> None:
        inputs = [np.stack([w.turned.window(*w.place) for w in batch])]
        if self.spec.latent:
            inputs.append(np.stack([noise_window(self.spec.latent, w.seed, *w.place) for w in batch]))
        try:
            outputs = self.network(*inputs)
        except (MemoryError, UserError):
            raise
        except Exception as error:  # every library has classes of its own
            reason = line_of(error, 200)
            raise UserError(
                f"{self.spec.id}: the network cannot take this input ({reason}); its graph and spec may not "
                "belong together"
            ) from error
        shape = (len(batch), 3, *(side * self.spec.scale for side in batch[0].shape))
        if outputs.shape != shape or not np.isfinite(outputs).all():
            raise UserError(
                f"{self.spec.id} gave no picture (its output has shape {outputs.shape} and may hold NaN); "
                "check the weights, the spec and the input's levels and ratio"
            )
        for window, output in zip(batch, outputs):
            # In its own memory: a copy of a large picture costs as much as a tenth of the network.
            clipped = np.clip(output, 0, 1, out=output if output.flags.writeable else None)
            finished = window.assembly.put(clipped)
            if finished:
                window.canvas.put(window.turned, *finished)


@dataclass(frozen=True)
class _Window:
    """One input of the network, not yet cut out, and where its output belongs."""

    turned: Turned
    assembly: Assembly
    canvas: _Canvas
    seed: tuple[int, ...]
    place: tuple[int, int, int, int]  # top, left, height, width in input pixels

    @property
    def shape(self) -> tuple[int, int]:
        return self.place[2:]


class _Canvas:
    """The finished picture: the mean of `count` outputs, or at once the integers of a single one."""

    def __init__(self, size: tuple[int, int], count: int, depth: Optional[int]):
        self._count, self._depth = count, depth
        direct = depth and count == 1
        dtype = (np.uint8 if depth == 8 else np.uint16) if direct else np.float32
        self._values = np.zeros((*size, 3), dtype).transpose(2, 0, 1)

    def put(self, turned: Turned, top: int, rows: np.ndarray) -> None:
        """Add output rows of a flipped input in their place; what the input was grown by falls away."""
        view = flip(self._values, *turned.transform)
        above, left = turned.offset
        first = max(top - above, 0)
        last = min(top - above + rows.shape[1], view.shape[1])
        if first >= last:
            return
        part = rows[:, first + above - top : last + above - top, left : left + view.shape[2]]
        if self._values.dtype != np.float32:
            # Rows first, as it works strip by strip, and small strips stay in the cache.
            integers = to_integer(part.transpose(1, 2, 0), self._depth)
            view[:, first:last] = integers.transpose(2, 0, 1)
        elif self._count == 1:
            view[:, first:last] = part
        else:
            view[:, first:last] += part / np.float32(self._count)

    @property
    def values(self) -> np.ndarray:
        if not self._depth or self._values.dtype != np.float32:
            return self._values
        # Channel by channel, as the conversion's floats would be larger than all else.
        return np.stack([to_integer(plane, self._depth) for plane in self._values])


def restore_frame(
    network: Network,
    spec: ModelSpec,
    frame: np.ndarray,
    averaging: Optional[Averaging] = None,
    tiling: Optional[Tiling] = None,
) -> np.ndarray:
    """Restore one network input of any size, in one piece unless told: (C, H, W) -> (3, scale*H, scale*W)."""
    values = unpacked(frame) if spec.raw else frame
    forward = Forward(network, spec, averaging or Averaging(), tiling or Tiling("none"))
    return forward.run([Source(values, spec.input)])[0]
