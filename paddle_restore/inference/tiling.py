"""Cut a frame into windows that fit into memory, and put the network's outputs together again.

A network with a context of `halo` pixels gives the same picture in tiles as in one piece: windows overlap by
twice the halo, and only the part of an output that is a halo away from the border is kept. A network that
pools over the whole frame ("global") does not: its tiles overlap by a quarter of their side and are blended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from paddle_restore.arithmetic import ceil_div, round_up
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

BUDGET = 1.0
"""GB of working memory that `auto` gives the network. A constant that does not depend on the free memory,
so that the same file gives the same pixels everywhere."""

_DEFAULT_SIDE = 224  # for networks without a measured memory per pixel
_MAX_TILES = 64  # along a side, that `auto` considers


@dataclass(frozen=True)
class Tiling:
    """How large a piece of a frame the network gets at once. Raises UserError for invalid values.

    side    of the square windows in the picture's (sensor's) pixels, context included;
            "auto" by the budget, "none" the whole frame
    budget  GB of working memory for `auto`
    """

    side: Union[int, str] = "auto"
    budget: float = BUDGET

    def __post_init__(self) -> None:
        if not (self.side in ("auto", "none") or (isinstance(self.side, int) and self.side > 0)):
            raise UserError(f"tile must be auto, none or a number of pixels, not {self.side!r}")
        if not 0 < self.budget < 1e4:
            raise UserError(f"memory must be a number of GB above 0, not {self.budget!r}")


@dataclass(frozen=True)
class TileRange:
    """One tile along one axis: `size` input pixels from `start` on give output pixels [low, high).

    weight  (high - low,) factors of the output before overlapping tiles are added
    """

    start: int
    size: int
    low: int
    high: int
    weight: np.ndarray


Axis = tuple[TileRange, ...]
"""All tiles along an axis, of one size, in order."""


def plan(
    spec: ModelSpec, height: int, width: int, tiling: Tiling, whole: bool = False, what: str = "a frame"
) -> tuple[Axis, Axis]:
    """Return the tiles of a frame of height x width input pixels: its rows, and its columns.

    Windows begin at multiples of `spec.multiple` and all have one size. They reach beyond the frame up
    to the next multiple. `whole` plans one tile for any tiling. `what` names the frame in messages.
    Raises UserError for a frame below the multiple, and for a tile that is all context.
    """
    factor, unit = PACK_FACTOR[spec.input], spec.multiple
    if min(height, width) < unit:  # there is too little to reflect
        raise UserError(
            f"{what} of {width * factor}x{height * factor} pixels is too small for {spec.id}, "
            f"which needs at least {unit * factor}x{unit * factor}"
        )
    height, width = round_up(height, unit), round_up(width, unit)
    if tiling.side == "none" or whole:
        rows, columns = height, width
    elif tiling.side == "auto":
        rows, columns = _choose_window(spec, height, width, tiling.budget)
    else:
        side = int(tiling.side) // factor // unit * unit
        smallest = 2 * unit if spec.halo == "global" else round_up(2 * _halo(spec) + unit, unit)
        if side < smallest and side < max(height, width):
            raise UserError(
                f"--tile {tiling.side}: {spec.id} looks so far around each pixel that a tile needs at least "
                f"{smallest * factor} pixels; choose that or more, or auto"
            )
        rows, columns = min(side, height), min(side, width)
    return _axis(spec, height, rows), _axis(spec, width, columns)


def largest_side(spec: ModelSpec, budget: float) -> int:
    """Return the side of the largest square window within `budget` GB, in the picture's (sensor's) pixels.

    It is at least the smallest window that `auto` takes, even where that needs more memory.
    """
    side = int(math.sqrt(_max_area(spec, budget))) // spec.multiple * spec.multiple
    return max(side, _smallest_side(spec)) * PACK_FACTOR[spec.input]


def _max_area(spec: ModelSpec, budget: float) -> float:
    """Return how many input pixels a window within `budget` GB has."""
    return budget * 1e9 / spec.memory if spec.memory else _DEFAULT_SIDE**2


def _choose_window(spec: ModelSpec, height: int, width: int, budget: float) -> tuple[int, int]:
    """Return the window within the budget with the least total computation; of equal ones the squarest."""
    area = _max_area(spec, budget)
    choices = []
    for rows in range(1, _MAX_TILES + 1):
        for columns in range(1, _MAX_TILES + 1):
            sides = _side_of(spec, height, rows), _side_of(spec, width, columns)
            if sides[0] and sides[1] and sides[0] * sides[1] <= area:
                work = rows * columns * sides[0] * sides[1]
                choices.append((work, abs(sides[0] - sides[1]), sides[0], sides[1]))
                break  # more columns only compute more
    if choices:
        return min(choices)[2:]
    # Too little memory, or too many tiles.
    side = largest_side(spec, budget) // PACK_FACTOR[spec.input]
    return min(height, side), min(width, side)


def _halo(spec: ModelSpec) -> int:
    return 0 if spec.halo == "global" else int(spec.halo)


def _smallest_side(spec: ModelSpec) -> int:
    """Return the smallest side that `auto` takes: a third is kept. Below it, a frame could take days."""
    return max(4 * spec.multiple, round_up(3 * _halo(spec), spec.multiple))


def _side_of(spec: ModelSpec, length: int, count: int) -> Optional[int]:
    """Return the smallest side with which `count` windows cover `length`, or None if `auto` excludes it."""
    if count == 1:
        return length
    if spec.halo == "global":
        side = length / (count - (count - 1) / 4)
    else:
        side = (length + (count - 1) * 2 * _halo(spec)) / count
    rounded = round_up(math.ceil(side), spec.multiple)
    return rounded if _smallest_side(spec) <= rounded < length else None


def _axis(spec: ModelSpec, length: int, size: int) -> Axis:
    """Cover `length` by as few windows of `size` as possible, spread evenly."""
    overlap = size // 4 if spec.halo == "global" else 2 * _halo(spec)
    unit, scale = spec.multiple, spec.scale
    stride = max(unit, (size - overlap) // unit * unit)
    steps = 0 if size >= length else max(1, ceil_div(length - size, stride))
    # Starts are rounded down to the multiple. Two are then still at most the stride apart.
    starts = [i * (length - size) // steps // unit * unit for i in range(steps)] + [length - size]
    # Neighbours meet in the middle of their overlap.
    cuts = [scale * (a + size + b) // 2 for a, b in zip(starts, starts[1:])]
    blend = scale * overlap // 2 * 2 if spec.halo == "global" else 0
    edges = [(0, 0), *((cut - blend // 2, blend) for cut in cuts)]
    ends = [*edges[1:], (scale * length, 0)]
    tiles = []
    for start, (low, rise), (high, fall) in zip(starts, edges, ends):
        weight = np.ones(high + fall - low, np.float32)
        weight[:rise] = _ramp(rise)
        if fall:
            weight[-fall:] = 1 - _ramp(fall)
        tiles.append(TileRange(start, size, low, high + fall, weight))
    return tuple(tiles)


def _ramp(length: int) -> np.ndarray:
    return (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(max(length, 1))


class Assembly:
    """Adds up the outputs of a frame's tiles and returns finished rows of the frame's output.

    Tiles come row by row. The memory is that of one row of tiles, not of the frame.
    """

    def __init__(
        self, scale: int, rows: Sequence[TileRange], columns: Sequence[TileRange], channels: int = 3
    ):
        self._scale, self._rows, self._columns = scale, rows, columns
        self._count = 0
        self._top = 0  # output row at which the band begins
        self._band = np.zeros((channels, 0, columns[-1].high), np.float32)

    def add(self, output: np.ndarray) -> Optional[tuple[int, np.ndarray]]:
        """Add the next tile's output (C, h, w). Return (top, rows (C, n, W)) once rows are finished."""
        row, column = divmod(self._count, len(self._columns))
        self._count += 1
        down, across = self._rows[row], self._columns[column]
        part = output[
            :,
            down.low - self._scale * down.start : down.high - self._scale * down.start,
            across.low - self._scale * across.start : across.high - self._scale * across.start,
        ]
        if len(self._rows) == len(self._columns) == 1:
            return 0, part
        if column == 0:
            new_rows = down.high - self._top - self._band.shape[1]
            self._band = np.pad(self._band, ((0, 0), (0, new_rows), (0, 0)))
        weight = down.weight[:, None] * across.weight
        self._band[:, down.low - self._top : down.high - self._top, across.low : across.high] += part * weight
        if column + 1 < len(self._columns):
            return None
        finished = down.high if row + 1 == len(self._rows) else self._rows[row + 1].low
        done, rest = np.split(self._band, [finished - self._top], axis=1)
        top, self._top, self._band = self._top, finished, rest.copy()
        return top, done
