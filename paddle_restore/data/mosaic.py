"""A raw frame as the sensor saw it: levels, colour pattern, packing, crops and flips."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from paddle_restore.data.transforms import flip
from paddle_restore.errors import UserError

# One period of SID's X-Trans packing, read row by row; other phases are shifted to it.
XTRANS = "RBGBRGGGRGGBGGBGGRBRGRBGGGBGGRGGRGGB"

# Position (row, column) in the 6x6 period of each of the nine planes, for the four 3x3 cells
# (top left, top right, bottom left, bottom right): SID's pack_raw for Fuji, golden/packing.npz.
_XTRANS_PLANES = (
    ((0, 0), (0, 2), (0, 1), (1, 2), (2, 2), (1, 0), (1, 1), (2, 0), (2, 1)),
    ((0, 4), (0, 5), (0, 3), (2, 5), (1, 5), (1, 3), (1, 4), (2, 3), (2, 4)),
    ((3, 1), (3, 2), (3, 0), (5, 2), (4, 2), (4, 0), (4, 1), (5, 0), (5, 1)),
    ((3, 3), (3, 5), (3, 4), (4, 5), (5, 5), (4, 3), (4, 4), (5, 3), (5, 4)),
)


@dataclass(frozen=True)
class RawImage:
    """The visible part of a raw frame, as the sensor saw it (no rotation applied).

    mosaic         (H, W) uint16 sensor values
    pattern        colours of one period row by row: 4 letters (Bayer) or 36 (X-Trans)
    black_level    sensor value of black for R, G (red rows), B, G (blue rows)
    white_level    sensor value of saturation
    white_balance  as-shot multipliers for R, G, B, G; the green ones are never 0
    exposure_time  seconds, 0 where the file does not say
    iso            ISO speed, 0 where the file does not say
    orientation    LibRaw's flip of the finished picture: 0, 3 (180°), 5 (90° left), 6 (90° right)
    """

    mosaic: np.ndarray
    pattern: str
    black_level: tuple[float, float, float, float]
    white_level: float
    white_balance: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    exposure_time: float = 0.0
    iso: float = 0.0
    orientation: int = 0
    path: Optional[Path] = None

    @property
    def kind(self) -> str:
        """`bayer` or `xtrans`: the input kind of the networks that take this file."""
        return "bayer" if len(self.pattern) == 4 else "xtrans"

    @property
    def period(self) -> int:
        """Side of the colour pattern in pixels: 2 or 6."""
        return 2 if self.kind == "bayer" else 6

    @property
    def phase(self) -> tuple[int, int]:
        """Row and column at which the pattern that the networks expect (RGGB, `XTRANS`) begins."""
        period, tile = self.period, self._tile()
        wanted = np.array(list("RGGB" if period == 2 else XTRANS)).reshape(period, period)
        for row in range(period):
            for column in range(period):
                if (np.roll(tile, (-row, -column), (0, 1)) == wanted).all():
                    return row, column
        raise UserError(f"{self.path}: colour pattern {self.pattern} is neither Bayer nor X-Trans")

    def packed(self, ratio: float = 1.0) -> np.ndarray:
        """Normalise, amplify and pack: float32 CHW, [0, 1].

        Bayer, any phase: (4, H//2, W//2) in the order R, G (red row), B, G (blue row). X-Trans:
        (9, h//3, w//3), from the first whole 6x6 period on. Values are (mosaic - black) /
        (white - black) * ratio, clipped to [0, 1]. Rows and columns beyond a whole period are
        dropped. Bayer planes are those of each 2x2 cell, whatever its phase; use `aligned` first
        where the place of each colour within the cell matters, as it does to a network.
        """
        planes = _bayer_planes(self) if self.kind == "bayer" else _xtrans_planes(self)
        out = np.empty((len(planes), *planes[0][1].shape), np.float32)
        for plane, (colour, values) in zip(out, planes):
            self._normalise(values, colour, ratio, plane)
        return out if self.kind == "bayer" else _interleave_cells(out)

    def normalised(self, ratio: float = 1.0) -> np.ndarray:
        """Normalise and amplify without packing: float32 (1, H, W), [0, 1]."""
        out = np.empty((1, *self.mosaic.shape), np.float32)
        colours = self._colour_tile()
        period = self.period
        for row in range(period):
            for column in range(period):
                self._normalise(
                    self.mosaic[row::period, column::period],
                    colours[row][column],
                    ratio,
                    out[0, row::period, column::period],
                )
        return out

    def preview(self, ratio: float = 1.0) -> np.ndarray:
        """A picture without demosaicing: float32 (3, H, W) in [0, 1], each cell of one colour.

        As-shot white balance and gamma 2.2; for `aligned` frames, of whole periods.
        """
        packed = self.packed(ratio)
        planes = ((0,), (1, 3), (2,)) if self.kind == "bayer" else ((0, 3), (1, 5, 6, 7, 8), (2, 4))
        gains = np.array(self.white_balance[:3], np.float32) / self.white_balance[1]
        colours = np.stack([packed[list(chosen)].mean(0) * gain for chosen, gain in zip(planes, gains)])
        cell = 2 if self.kind == "bayer" else 3
        return np.clip(colours, 0, 1).repeat(cell, 1).repeat(cell, 2) ** np.float32(1 / 2.2)

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return every normalised value that occurs and how often, for `estimate_ratio`."""
        period = self.period
        if len(set(self.black_level)) == 1:
            parts = [(self.black_level[0], self.mosaic)]
        else:
            parts = [
                (self.black_level[colour], self.mosaic[place // period :: period, place % period :: period])
                for place, colour in enumerate(np.ravel(self._colour_tile()))
            ]
        values, counts = [], []
        for black, mosaic in parts:
            # Ten times as fast as numpy.bincount; exact, as it counts in integers.
            count = cv2.calcHist([np.ascontiguousarray(mosaic)], [0], None, [1 << 16], [0, 1 << 16]).ravel()
            level = np.flatnonzero(count)
            values.append(np.clip((level - black) / (self.white_level - black), 0, 1))
            counts.append(count[level])
        return np.concatenate(values), np.concatenate(counts)

    def crop(self, top: int, left: int, height: int, width: int) -> RawImage:
        """Return a part as a view; its pattern is that of the part."""
        pattern = np.roll(self._tile(), (-top, -left), (0, 1))
        mosaic = self.mosaic[top : top + height, left : left + width]
        return replace(self, mosaic=mosaic, pattern="".join(pattern.ravel()))

    def flipped(self, rows: bool, columns: bool, transpose: bool) -> RawImage:
        """Return a view with rows reversed, columns reversed, then transposed; Bayer, whole 2x2 cells.

        The pattern is that of the flipped mosaic. Transposed, the green of the red rows becomes
        that of the blue rows, and their levels go with them.
        """
        choice = (rows, columns, transpose)
        order = (0, 3, 2, 1) if transpose else (0, 1, 2, 3)
        return replace(
            self,
            mosaic=flip(self.mosaic, *choice),
            pattern="".join(flip(self._tile(), *choice).ravel()),
            black_level=tuple(self.black_level[i] for i in order),
            white_balance=tuple(self.white_balance[i] for i in order),
        )

    def aligned(self) -> RawImage:
        """Return the view that begins at the canonical phase and ends on whole periods.

        Drops up to a period of rows and columns; `phase` says how many at the top and left.
        """
        row, column = self.phase
        height = (self.mosaic.shape[0] - row) // self.period * self.period
        width = (self.mosaic.shape[1] - column) // self.period * self.period
        pattern = "RGGB" if self.kind == "bayer" else XTRANS
        return replace(self, mosaic=self.mosaic[row : row + height, column : column + width], pattern=pattern)

    def extended(self) -> tuple[RawImage, tuple[int, int]]:
        """Like `aligned`, but grows the frame by copies one period away instead of dropping pixels.

        Returns it with the number of rows and columns added at the top and left, so that a
        restored picture is cropped back to the file's own size.
        """
        period = self.period
        top, left = ((period - start) % period for start in self.phase)
        bottom = -(self.mosaic.shape[0] + top) % period
        right = -(self.mosaic.shape[1] + left) % period
        if not (top or left or bottom or right):
            return self, (0, 0)
        height, width = self.mosaic.shape
        rows = _periodic_indices(height, top, bottom, period)
        columns = _periodic_indices(width, left, right, period)
        pattern = "RGGB" if self.kind == "bayer" else XTRANS
        return replace(self, mosaic=self.mosaic[np.ix_(rows, columns)], pattern=pattern), (top, left)

    def with_levels(
        self, black_level: Optional[float] = None, white_level: Optional[float] = None
    ) -> RawImage:
        """Return a copy in which a recipe's levels replace the file's; None keeps the file's."""
        black = self.black_level if black_level is None else (float(black_level),) * 4
        white = self.white_level if white_level is None else float(white_level)
        if white <= max(black):
            raise UserError(
                f"{self.path}: white level {white:g} is not above black level {max(black):g}; "
                "set black_level and white_level in the recipe"
            )
        return replace(self, black_level=black, white_level=white)

    def _tile(self) -> np.ndarray:
        return np.array(list(self.pattern)).reshape(self.period, self.period)

    def _colour_tile(self) -> list[list[int]]:
        """Colour index (R 0, G 1, B 2, second G 3) of each place of the period."""
        period = self.period
        rows = [self.pattern[i * period : (i + 1) * period] for i in range(period)]
        # LibRaw tells the greens apart in Bayer frames only.
        second_green = [3 if period == 2 and "B" in row else 1 for row in rows]
        return [
            ["RGB".index(c) if c != "G" else green for c in row] for row, green in zip(rows, second_green)
        ]

    def _normalise(self, values: np.ndarray, colour: int, ratio: float, out: np.ndarray) -> None:
        black = self.black_level[colour]
        np.subtract(values, np.float32(black), out=out, dtype=np.float32)
        out *= np.float32(ratio / (self.white_level - black))
        np.clip(out, 0, 1, out=out)


def _bayer_planes(raw: RawImage) -> list[tuple[int, np.ndarray]]:
    height, width = (size // 2 * 2 for size in raw.mosaic.shape)
    tile = raw._colour_tile()
    place = {tile[row][column]: (row, column) for row in range(2) for column in range(2)}
    return [(c, raw.mosaic[place[c][0] : height : 2, place[c][1] : width : 2]) for c in range(4)]


def _xtrans_planes(raw: RawImage) -> list[tuple[int, np.ndarray]]:
    raw = raw.aligned()
    tile = raw._colour_tile()
    return [
        (tile[row][column], raw.mosaic[row::6, column::6]) for cell in _XTRANS_PLANES for row, column in cell
    ]


def _interleave_cells(planes: np.ndarray) -> np.ndarray:
    """(36, h, w), nine planes for each of the four cells -> (9, 2h, 2w)."""
    _, height, width = planes.shape
    cells = planes.reshape(2, 2, 9, height, width)
    return np.ascontiguousarray(cells.transpose(2, 3, 0, 4, 1)).reshape(9, 2 * height, 2 * width)


def unpacked(planes: np.ndarray) -> RawImage:
    """The mosaic, float32 in [0, 1], of packed planes (4 Bayer, 9 X-Trans) or of a mosaic (1, H, W)."""
    channels, height, width = planes.shape
    if channels == 1:
        return RawImage(planes[0], "RGGB", (0.0,) * 4, 1.0)
    if channels == 4:
        mosaic = np.empty((2 * height, 2 * width), np.float32)
        for plane, (row, column) in zip(planes, ((0, 0), (0, 1), (1, 1), (1, 0))):
            mosaic[row::2, column::2] = plane
        return RawImage(mosaic, "RGGB", (0.0,) * 4, 1.0)
    mosaic = np.empty((3 * height, 3 * width), np.float32)
    for cell, places in enumerate(_XTRANS_PLANES):
        for plane, (row, column) in zip(planes, places):
            mosaic[row::6, column::6] = plane[cell // 2 :: 2, cell % 2 :: 2]
    return RawImage(mosaic, XTRANS, (0.0,) * 4, 1.0)


def _periodic_indices(size: int, before: int, after: int, period: int) -> np.ndarray:
    """Indices of a side grown by `before` and `after`, each new one a whole period inside."""
    indices = np.arange(-before, size + after)
    indices[indices < 0] += period
    indices[indices >= size] -= period
    return indices


def network_input(raw: RawImage, kind: str, ratio: float) -> np.ndarray:
    """Return what a network of input `kind` reads: packed planes or the one-channel mosaic.

    float32 (C, h, w), amplified by `ratio` and clipped to [0, 1]. Raises UserError for a sensor
    of another kind than the network's.
    """
    check_kind(raw, kind)
    return raw.normalised(ratio) if kind == "mosaic" else raw.packed(ratio)


def check_kind(raw: RawImage, kind: str) -> None:
    """Raise UserError for a sensor of another kind than a network with input `kind` reads."""
    if raw.kind != ("bayer" if kind == "mosaic" else kind):
        raise UserError(f"{raw.path}: the network reads {kind} files, and this is a {raw.kind} one")
