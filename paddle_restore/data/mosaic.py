"""Raw frames: levels, colour pattern, packing, crops and flips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

import cv2
import numpy as np

from paddle_restore.data.pixels import flip
from paddle_restore.errors import UserError

XTRANS = "RBGBRGGGRGGBGGBGGRBRGRBGGGBGGRGGRGGB"
"""One period of SID's X-Trans packing, row by row. Other phases are shifted to it."""

# (row, column) in the 6x6 period of each of the nine planes, for the 3x3 cells top left, top right,
# bottom left, bottom right: SID's pack_raw for Fuji, golden/packing.npz.
_XTRANS_PLANES = (
    ((0, 0), (0, 2), (0, 1), (1, 2), (2, 2), (1, 0), (1, 1), (2, 0), (2, 1)),
    ((0, 4), (0, 5), (0, 3), (2, 5), (1, 5), (1, 3), (1, 4), (2, 3), (2, 4)),
    ((3, 1), (3, 2), (3, 0), (5, 2), (4, 2), (4, 0), (4, 1), (5, 0), (5, 1)),
    ((3, 3), (3, 5), (3, 4), (4, 5), (5, 5), (4, 3), (4, 4), (5, 3), (5, 4)),
)

PerColour = tuple[float, float, float, float]
"""Values of R, G (red rows), B, G (blue rows)."""

Rgb = tuple[float, float, float]
"""Values of R, G, B."""


@dataclass(frozen=True)
class RawImage:
    """The visible part of a raw frame, not rotated.

    mosaic         (H, W) uint16 sensor values
    pattern        colours of one period row by row: 4 letters (Bayer) or 36 (X-Trans)
    black_level    sensor value of black for R, G (red rows), B, G (blue rows)
    white_level    sensor value of saturation
    white_balance  as-shot multipliers for R, G, B, G; those of green are never 0
    daylight       multipliers for R, G, B under daylight, by the camera's colour matrix; None if not known
    gains          factors of R, G, B that bring the frame to another camera's white balance
    exposure_time  seconds, 0 if the file has none
    iso            ISO speed, 0 if the file has none
    orientation    LibRaw's flip of the finished picture: 0, 3 (180°), 5 (90° left), 6 (90° right)
    pixel_aspect   width over height of a pixel; the finished picture is stretched to square ones
    """

    mosaic: np.ndarray
    pattern: str
    black_level: PerColour
    white_level: float
    white_balance: PerColour = (1.0, 1.0, 1.0, 1.0)
    exposure_time: float = 0.0
    iso: float = 0.0
    orientation: int = 0
    path: Optional[Path] = None
    pixel_aspect: float = 1.0
    daylight: Optional[Rgb] = None
    gains: Rgb = (1.0, 1.0, 1.0)

    @property
    def kind(self) -> str:
        """`bayer` or `xtrans`: the input of the networks that take this file."""
        return "bayer" if len(self.pattern) == 4 else "xtrans"

    @property
    def period(self) -> int:
        """Side of the colour pattern in pixels: 2 or 6."""
        return 2 if self.kind == "bayer" else 6

    @property
    def phase(self) -> tuple[int, int]:
        """Row and column where the networks' pattern (RGGB or `XTRANS`) begins."""
        period, tile = self.period, self._tile()
        expected = np.array(list(self._aligned_pattern)).reshape(period, period)
        for row in range(period):
            for column in range(period):
                if (np.roll(tile, (-row, -column), (0, 1)) == expected).all():
                    return row, column
        raise UserError(f"{self.path}: colour pattern {self.pattern} is neither Bayer nor X-Trans")

    @property
    def balance(self) -> np.ndarray:
        """As-shot multipliers of R, G, B, (3,) float32, the smallest 1; all 1 where the file has none.

        As LibRaw takes them: what saturates in all colours is white.
        """
        multipliers = np.array(self.white_balance[:3], np.float32)
        if not (np.isfinite(multipliers).all() and multipliers.min() > 0):
            return np.ones(3, np.float32)
        return multipliers / multipliers.min()

    def packed(self, ratio: float = 1.0, clip: bool = True) -> np.ndarray:
        """Normalise, put the gains on, amplify and pack: float32 CHW, [0, 1], or 0 and more without `clip`.

        Bayer, any phase: (4, H//2, W//2) in the order R, G (red row), B, G (blue row). X-Trans:
        (9, h//3, w//3), starting with the first whole 6x6 period. Values are (mosaic - black) /
        (white - black) * ratio, clipped at 0 and, with `clip`, at 1. Rows and columns beyond a whole
        period are dropped. Bayer planes are those of each 2x2 cell in any phase. For a network, where
        the position of each colour in the cell matters, use `aligned` first.
        """
        planes = self._bayer_planes() if self.kind == "bayer" else self._xtrans_planes()
        out = np.empty((len(planes), *planes[0][1].shape), np.float32)
        for plane, (colour, values) in zip(out, planes):
            self._normalise(values, colour, ratio, clip, plane)
        return out if self.kind == "bayer" else _interleave_cells(out)

    def signal(self) -> np.ndarray:
        """Return (mosaic - black) / (white - black) packed like `packed`, float32, not clipped; Bayer."""
        planes = self._bayer_planes()
        out = np.empty((len(planes), *planes[0][1].shape), np.float32)
        for plane, (colour, values) in zip(out, planes):
            black = np.float32(self.black_level[colour])
            np.subtract(values, black, out=plane, dtype=np.float32)
            plane /= np.float32(self.white_level) - black
        return out

    def normalised(self, ratio: float = 1.0, clip: bool = True) -> np.ndarray:
        """Normalise and amplify without packing: float32 (1, H, W), [0, 1], or 0 and more without `clip`."""
        out = np.empty((1, *self.mosaic.shape), np.float32)
        for row, column, colour in self._period_pixels():
            every = np.s_[row :: self.period, column :: self.period]
            self._normalise(self.mosaic[every], colour, ratio, clip, out[0][every])
        return out

    def preview(self, ratio: float = 1.0) -> np.ndarray:
        """Return a picture without demosaicing, float32 (3, H, W) in [0, 1]: each cell has one colour.

        It has the as-shot white balance and gamma 2.2. What saturates in all colours is white. The frame
        must be `aligned`.
        """
        colours = self.cell_colours() * np.float32(ratio) * self.balance[:, None, None]
        cell = 2 if self.kind == "bayer" else 3
        # Below ratio 1 white is grey, not the colour of the white balance.
        return np.clip(colours, 0, min(1, ratio)).repeat(cell, 1).repeat(cell, 2) ** np.float32(1 / 2.2)

    def cell_colours(self) -> np.ndarray:
        """Return the means of R, G, B in each packed cell, (3, h, w) in [0, 1], without gains; aligned."""
        packed = replace(self, gains=(1.0, 1.0, 1.0)).packed()
        planes = ((0,), (1, 3), (2,)) if self.kind == "bayer" else ((0, 3), (1, 5, 6, 7, 8), (2, 4))
        return np.stack([packed[list(chosen)].mean(0) for chosen in planes])

    def colour_means(self, rows: int, columns: int) -> np.ndarray:
        """Return means of R, G, B over a grid of blocks, (3, rows, columns) float32, without gains.

        Black is 0 and white 1; where noise goes below black, means can be negative.
        """
        period = self.period
        height, width = (side // period for side in self.mosaic.shape)
        size = min(columns, width), min(rows, height)
        sums, counts = np.zeros((3, size[1], size[0]), np.float32), np.zeros(3, np.float32)
        for row, column, colour in self._period_pixels():
            plane = self.mosaic[row::period, column::period][:height, :width].astype(np.float32)
            black, channel = self.black_level[colour], (0, 1, 2, 1)[colour]
            means = cv2.resize(plane, size, interpolation=cv2.INTER_AREA) - np.float32(black)
            sums[channel] += means / np.float32(self.white_level - black)
            counts[channel] += 1
        return sums / counts[:, None, None]

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return every normalised value that occurs, and how often, for `estimate_ratio`."""
        period = self.period
        if len(set(self.black_level)) == len(set(self.gains)) == 1:
            parts = [(self.black_level[0], self.gains[0], self.mosaic)]
        else:
            parts = [
                (self.black_level[colour], self._gain(colour), self.mosaic[row::period, column::period])
                for row, column, colour in self._period_pixels()
            ]
        values, counts = [], []
        for black, gain, mosaic in parts:
            # Ten times as fast as numpy.bincount, and exact.
            count = cv2.calcHist([np.ascontiguousarray(mosaic)], [0], None, [1 << 16], [0, 1 << 16]).ravel()
            level = np.flatnonzero(count)
            values.append(np.clip((level - black) * (gain / (self.white_level - black)), 0, 1))
            counts.append(count[level])
        return np.concatenate(values), np.concatenate(counts)

    def crop(self, top: int, left: int, height: int, width: int) -> RawImage:
        """Return a part as a view, with the pattern that begins at its corner."""
        pattern = np.roll(self._tile(), (-top, -left), (0, 1))
        mosaic = self.mosaic[top : top + height, left : left + width]
        return replace(self, mosaic=mosaic, pattern="".join(pattern.ravel()))

    def flipped(self, rows: bool, columns: bool, transpose: bool) -> RawImage:
        """Return a view with rows reversed, columns reversed, then transposed; Bayer, whole 2x2 cells.

        The pattern is flipped too. A transposed green of the red rows becomes that of the blue rows, so
        the two greens swap their levels.
        """
        choice = (rows, columns, transpose)
        black_level, white_balance = self.black_level, self.white_balance
        if transpose:
            black_level, white_balance = _swap_greens(black_level), _swap_greens(white_balance)
        return replace(
            self,
            mosaic=flip(self.mosaic, *choice),
            pattern="".join(flip(self._tile(), *choice).ravel()),
            black_level=black_level,
            white_balance=white_balance,
        )

    def aligned(self) -> RawImage:
        """Return the view that begins with the networks' pattern and ends on a whole period.

        Drops up to a period of rows and columns; `phase` is their number at the top and left.
        """
        row, column = self.phase
        height = (self.mosaic.shape[0] - row) // self.period * self.period
        width = (self.mosaic.shape[1] - column) // self.period * self.period
        mosaic = self.mosaic[row : row + height, column : column + width]
        return replace(self, mosaic=mosaic, pattern=self._aligned_pattern)

    def extended(self) -> tuple[RawImage, tuple[int, int]]:
        """Like `aligned`, but adds copies of pixels one period away instead of dropping pixels.

        Returns the frame, and the numbers of rows and columns added at the top and left, for cropping the
        restored picture to the file's own size.
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
        mosaic = self.mosaic[np.ix_(rows, columns)]
        return replace(self, mosaic=mosaic, pattern=self._aligned_pattern), (top, left)

    def with_levels(
        self, black_level: Optional[float] = None, white_level: Optional[float] = None
    ) -> RawImage:
        """Return a copy in which a recipe's levels replace the file's; None keeps the file's.

        Raises UserError unless white is above black.
        """
        black = self.black_level if black_level is None else _for_each_colour(float(black_level))
        white = self.white_level if white_level is None else float(white_level)
        if white <= max(black):
            raise UserError(
                f"{self.path}: white level {white:g} is not above black level {max(black):g}; "
                "set black_level and white_level in the recipe, or by --black_level and --white_level"
            )
        return replace(self, black_level=black, white_level=white)

    def with_range(self, black: int, white: int, gain: float = 1.0) -> RawImage:
        """Return the frame as uint16 with these levels, all colours alike, amplified by `gain`.

        Values below 0 become 0, and those above `white` become `white`. The mosaic may hold floats.
        """
        ready = self.mosaic.dtype == np.uint16 and gain == 1
        if ready and self.white_level == white and self.black_level == _for_each_colour(black):
            return self
        out = np.empty(self.mosaic.shape, np.uint16)
        for row, column, colour in self._period_pixels():
            every = np.s_[row :: self.period, column :: self.period]
            scale = gain * (white - black) / (self.white_level - self.black_level[colour])
            offset = black - self.black_level[colour] * scale
            if self.mosaic.dtype == np.uint16:
                table = _to_uint16(np.arange(1 << 16), scale, offset, white)
                out[every] = table[self.mosaic[every]]
            else:
                out[every] = _to_uint16(self.mosaic[every], scale, offset, white)
        return replace(self, mosaic=out, black_level=_for_each_colour(black), white_level=float(white))

    def _tile(self) -> np.ndarray:
        return np.array(list(self.pattern)).reshape(self.period, self.period)

    @property
    def _aligned_pattern(self) -> str:
        return "RGGB" if self.kind == "bayer" else XTRANS

    def _period_pixels(self) -> Iterator[tuple[int, int, int]]:
        """Yield row, column and colour index (R 0, G 1, B 2, second G 3) of each pixel of the period."""
        for row, letters in enumerate(self._tile()):
            # LibRaw tells the greens apart in Bayer frames only.
            green = 3 if self.kind == "bayer" and "B" in letters else 1
            for column, letter in enumerate(letters):
                yield row, column, green if letter == "G" else "RGB".index(letter)

    def _gain(self, colour: int) -> float:
        return self.gains[(0, 1, 2, 1)[colour]]

    def _bayer_planes(self) -> list[tuple[int, np.ndarray]]:
        height, width = (size // 2 * 2 for size in self.mosaic.shape)
        start = {colour: (row, column) for row, column, colour in self._period_pixels()}
        return [(c, self.mosaic[start[c][0] : height : 2, start[c][1] : width : 2]) for c in range(4)]

    def _xtrans_planes(self) -> list[tuple[int, np.ndarray]]:
        raw = self.aligned()
        colours = {(row, column): colour for row, column, colour in raw._period_pixels()}
        return [
            (colours[row, column], raw.mosaic[row::6, column::6])
            for cell in _XTRANS_PLANES
            for row, column in cell
        ]

    def _normalise(self, values: np.ndarray, colour: int, ratio: float, clip: bool, out: np.ndarray) -> None:
        black = self.black_level[colour]
        np.subtract(values, np.float32(black), out=out, dtype=np.float32)
        out *= np.float32(ratio * self._gain(colour) / (self.white_level - black))
        np.clip(out, 0, 1 if clip else None, out=out)


def _interleave_cells(planes: np.ndarray) -> np.ndarray:
    """(36, h, w), nine planes for each of the four cells -> (9, 2h, 2w)."""
    _, height, width = planes.shape
    cells = planes.reshape(2, 2, 9, height, width)
    return np.ascontiguousarray(cells.transpose(2, 3, 0, 4, 1)).reshape(9, 2 * height, 2 * width)


def unpacked(planes: np.ndarray) -> RawImage:
    """Return the mosaic, float32 in [0, 1], of planes: (4, h, w) Bayer, (9, h, w) X-Trans or (1, H, W)."""
    channels, height, width = planes.shape
    pattern, mosaic = "RGGB", planes[0]
    if channels == 4:
        mosaic = np.empty((2 * height, 2 * width), np.float32)
        for plane, (row, column) in zip(planes, ((0, 0), (0, 1), (1, 1), (1, 0))):
            mosaic[row::2, column::2] = plane
    elif channels == 9:
        pattern, mosaic = XTRANS, np.empty((3 * height, 3 * width), np.float32)
        for cell, pixels in enumerate(_XTRANS_PLANES):
            for plane, (row, column) in zip(planes, pixels):
                mosaic[row::6, column::6] = plane[cell // 2 :: 2, cell % 2 :: 2]
    return RawImage(mosaic, pattern, _for_each_colour(0.0), 1.0)


def _for_each_colour(value: float) -> PerColour:
    return value, value, value, value


def _to_uint16(values: np.ndarray, scale: float, offset: float, highest: int) -> np.ndarray:
    out = values * np.float32(scale)
    out += np.float32(offset)
    np.rint(out, out=out)
    return np.clip(out, 0, highest, out=out).astype(np.uint16)


def _swap_greens(values: PerColour) -> PerColour:
    red, green, blue, second_green = values
    return red, second_green, blue, green


def _periodic_indices(size: int, before: int, after: int, period: int) -> np.ndarray:
    """Return the indices of a side and, before and after it, those of the pixels one period inside."""
    indices = np.arange(-before, size + after)
    indices[indices < 0] += period
    indices[indices >= size] -= period
    return indices


def network_input(raw: RawImage, kind: str, ratio: float, clip: bool = True) -> np.ndarray:
    """Return what a network of input `kind` reads: packed planes or the one-channel mosaic.

    float32 (C, h, w), amplified by `ratio`, clipped at 0 and, with `clip`, at 1. Raises UserError
    for a sensor of another kind than the network's.
    """
    check_kind(raw, kind)
    return raw.normalised(ratio, clip) if kind == "mosaic" else raw.packed(ratio, clip)


def check_kind(raw: RawImage, kind: str) -> None:
    """Raise UserError for a sensor of another kind than a network with input `kind` reads."""
    if raw.kind != ("bayer" if kind == "mosaic" else kind):
        advice = "; sid_unet_xtrans reads X-Trans files" if raw.kind == "xtrans" else ""
        raise UserError(f"{raw.path}: the network reads {kind} files, and this is a {raw.kind} one{advice}")
