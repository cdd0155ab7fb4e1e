"""Cut a frame into windows that a network can take, and put what it gives together again.

A network that looks `halo` pixels far gives the same picture in tiles as in one piece: windows
overlap by twice that, and of each only what lies a halo inside is kept. One that pools over the whole
frame ("global") does not: its tiles are blended into each other over a quarter of their side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np

from paddle_restore.arithmetic import ceil_div, round_up
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

BUDGET = 1.0
"""GB of working memory that `auto` gives the network. A constant, and not what the machine has free, so
that the same file gives the same pixels everywhere."""

_UNKNOWN = 224  # side of the windows of networks whose spec does not say what a pixel costs
_MOST = 64  # tiles along a side that `auto` considers


@dataclass(frozen=True)
class Tiling:
    """How large a piece of a frame the network gets at once.

    side    of the square windows in the picture's (sensor's) pixels, context included;
            "auto" by the budget, "none" the whole frame
    budget  GB of working memory for `auto`
    """

    side: Union[int, str] = "auto"
    budget: float = BUDGET


@dataclass(frozen=True)
class Span:
    """One window along an axis: its start, and the part [low, high) of its output that counts.

    weight  what each pixel of that part is multiplied with before neighbours are added
    """

    start: int
    low: int
    high: int
    weight: np.ndarray


@dataclass(frozen=True)
class Axis:
    """All windows along an axis, each `size` input pixels long; spans are in output pixels."""

    size: int
    spans: tuple[Span, ...]


def plan(spec: ModelSpec, height: int, width: int, tiling: Tiling, alone: bool = False) -> tuple[Axis, Axis]:
    """Return the windows of a frame of height x width input pixels, by rows and by columns.

    Windows begin at multiples of `spec.multiple` and are all of one size; they reach beyond the frame to
    the next multiple, as the whole frame does. `alone`: only one window will do.
    Raises UserError for a frame below the multiple, or a tile that its context leaves nothing of.
    """
    factor, unit = PACK_FACTOR[spec.input], spec.multiple
    if min(height, width) < unit:  # there is too little to reflect
        raise UserError(
            f"a frame of {width * factor}x{height * factor} pixels is too small for {spec.id}, "
            f"which needs at least {unit * factor}x{unit * factor}"
        )
    whole = tuple(round_up(side, unit) for side in (height, width))
    if tiling.side == "none" or alone:
        sides = whole
    elif tiling.side == "auto":
        sides = _largest(spec, whole, tiling.budget)
    else:
        side = int(tiling.side) // factor // unit * unit
        least = 2 * unit if spec.halo == "global" else 2 * spec.halo + unit
        least = round_up(least, unit)
        if side < least and side < max(whole):
            raise UserError(
                f"--tile {tiling.side}: {spec.id} looks so far around each pixel that a tile needs at least "
                f"{least * factor} pixels; choose that or more, or auto"
            )
        sides = tuple(min(side, length) for length in whole)
    return tuple(_axis(spec, length, size) for length, size in zip(whole, sides))


def largest_side(spec: ModelSpec, budget: float) -> int:
    """Return the side of the largest square window within `budget` GB, in the picture's (sensor's) pixels.

    It is at least the smallest window that `auto` takes, even where that needs more memory.
    """
    side = int(math.sqrt(_area(spec, budget))) // spec.multiple * spec.multiple
    return max(side, _least(spec)) * PACK_FACTOR[spec.input]


def _area(spec: ModelSpec, budget: float) -> float:
    """Return how many input pixels a window within `budget` GB has."""
    return budget * 1e9 / spec.memory if spec.memory else _UNKNOWN**2


def _largest(spec: ModelSpec, whole: tuple[int, int], budget: float) -> tuple[int, int]:
    """Return the window that fits the budget and computes least; of equal ones the squarest."""
    area = _area(spec, budget)
    choices = []
    for rows in range(1, _MOST + 1):
        for columns in range(1, _MOST + 1):
            sides = [_side(spec, length, n) for length, n in zip(whole, (rows, columns))]
            if None not in sides and sides[0] * sides[1] <= area:
                work = rows * columns * sides[0] * sides[1]
                choices.append((work, abs(sides[0] - sides[1]), tuple(sides)))
                break  # more columns only compute more
    if choices:
        return min(choices)[2]
    # Too little memory, or too many windows: the square that fits, or the least one.
    side = largest_side(spec, budget) // PACK_FACTOR[spec.input]
    return tuple(min(length, side) for length in whole)


def _halo(spec: ModelSpec) -> int:
    return 0 if spec.halo == "global" else spec.halo


def _least(spec: ModelSpec) -> int:
    """Return the least side that `auto` takes: a third is kept. With a few pixels, a frame may take days."""
    return max(4 * spec.multiple, round_up(3 * _halo(spec), spec.multiple))


def _side(spec: ModelSpec, length: int, count: int) -> Optional[int]:
    """Return the least window side with which `count` windows cover `length`; None where they cannot."""
    if count == 1:
        return length
    overlap = 2 * _halo(spec)
    least = (
        length / (count - (count - 1) / 4)
        if spec.halo == "global"
        else (length + (count - 1) * overlap) / count
    )
    side = round_up(math.ceil(least), spec.multiple)
    return side if _least(spec) <= side < length else None


def _axis(spec: ModelSpec, length: int, size: int) -> Axis:
    """Spread as few windows as cover `length` evenly over it."""
    overlap = size // 4 if spec.halo == "global" else 2 * spec.halo
    unit, scale = spec.multiple, spec.scale
    stride = max(unit, (size - overlap) // unit * unit)
    steps = 0 if size >= length else max(1, ceil_div(length - size, stride))
    # Rounded down to the multiple, two starts lie at most the wanted step apart.
    starts = [i * (length - size) // steps // unit * unit for i in range(steps)] + [length - size]
    # Neighbours meet in the middle of what they share.
    cuts = [scale * (a + size + b) // 2 for a, b in zip(starts, starts[1:])]
    ramp = scale * overlap // 2 * 2 if spec.halo == "global" else 0
    edges = [(0, 0), *((cut - ramp // 2, ramp) for cut in cuts)]
    ends = [*edges[1:], (scale * length, 0)]
    spans = []
    for start, (low, rise), (high, fall) in zip(starts, edges, ends):
        weight = np.ones(high + fall - low, np.float32)
        weight[:rise] = _ramp(rise)
        if fall:
            weight[-fall:] = 1 - _ramp(fall)
        spans.append(Span(start, low, high + fall, weight))
    return Axis(size, tuple(spans))


def _ramp(length: int) -> np.ndarray:
    return (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(max(length, 1))


class Assembly:
    """Adds up tiles, which come row by row, and hands on finished rows of the frame's output.

    Holds one row of tiles, and not the frame.
    """

    def __init__(self, spec: ModelSpec, rows: Axis, columns: Axis):
        self._spec, self._rows, self._columns = spec, rows, columns
        self._count = 0
        self._top = 0  # output row at which the band begins
        self._band: Optional[np.ndarray] = None

    def put(self, output: np.ndarray) -> Optional[tuple[int, np.ndarray]]:
        """Take the next tile's output, (3, h, w); return (top, rows (3, n, W)) once rows are finished."""
        row, column = divmod(self._count, len(self._columns.spans))
        self._count += 1
        down, across = self._rows.spans[row], self._columns.spans[column]
        scale = self._spec.scale
        part = output[
            :,
            down.low - scale * down.start : down.high - scale * down.start,
            across.low - scale * across.start : across.high - scale * across.start,
        ]
        if len(self._rows.spans) == len(self._columns.spans) == 1:
            return 0, part
        if column == 0:
            self._grow(down.high)
        weight = down.weight[:, None] * across.weight
        self._band[:, down.low - self._top : down.high - self._top, across.low : across.high] += part * weight
        if column + 1 < len(self._columns.spans):
            return None
        last = row + 1 == len(self._rows.spans)
        finished = down.high if last else self._rows.spans[row + 1].low
        done, self._band = np.split(self._band, [finished - self._top], axis=1)
        top, self._top = self._top, finished
        self._band = None if last else self._band.copy()
        return top, done

    def _grow(self, bottom: int) -> None:
        width = self._columns.spans[-1].high
        former = self._band
        self._band = np.zeros((3, bottom - self._top, width), np.float32)
        if former is not None:
            self._band[:, : former.shape[1]] = former
