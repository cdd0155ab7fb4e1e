"""A sheet of befores and afters: each file whole, and its middle at full size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from paddle_restore.data.image import to_float, to_integer, write_image
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.pixels import upright
from paddle_restore.inference.restorer import Frame, Restored

_WIDTH, _HEIGHT, _GAP = 400, 300, 8
_MOST = 24
_PAPER, _INK = 245, (60, 60, 60)


class Sheet:
    """Rows of four cells: before and after as a whole, before and after in the middle, pixel by pixel."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    @property
    def full(self) -> bool:
        """A sheet that nobody can take in is no help: the first files are enough."""
        return len(self.rows) >= _MOST

    def add(self, name: str, frame: Frame, restored: Restored) -> None:
        after = restored.picture
        height, width = (min(side, cell) for side, cell in zip(after.shape[:2], (_HEIGHT, _WIDTH)))
        top, left = ((side - part) // 2 for side, part in zip(after.shape[:2], (height, width)))
        middle = after[top : top + height, left : left + width]
        whole, part = _before(frame, after.shape[:2], (top, left, height, width))
        titles = (f"{name}", "restored", "middle, 100 %", "restored, 100 %")
        if restored.ratio:
            titles = (f"{name}, x{restored.ratio:.0f}", *titles[1:])
        self.rows.append(np.hstack([_cell(*both) for both in zip((whole, after, part, middle), titles)]))

    def write(self, path: Path) -> None:
        """Write the sheet. Raises UserError where that is not possible."""
        write_image(path, np.vstack(self.rows))


def _before(
    frame: Frame, size: tuple[int, int], place: tuple[int, int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the input as a small whole picture and its part at `place`, both upright RGB."""
    values = frame.source.values
    if not isinstance(values, RawImage):
        top, left, height, width = place
        return values.transpose(1, 2, 0), values[:, top : top + height, left : left + width].transpose(
            1, 2, 0
        )
    raw, ratio = values.aligned(), frame.ratio or 1.0
    step = max(1, min(raw.mosaic.shape) // raw.period // 600)
    rows, columns = (_every(side, raw.period, step) for side in raw.mosaic.shape)
    small = RawImage(
        raw.mosaic[np.ix_(rows, columns)], raw.pattern, raw.black_level, raw.white_level, raw.white_balance
    )
    # The part lies in the sensor's orientation, around the same middle.
    wanted = (place[3], place[2]) if frame.orientation & 4 else place[2:]
    height, width = (min(n, side) // raw.period * raw.period for n, side in zip(wanted, raw.mosaic.shape))
    top, left = (
        (side - part) // 2 // raw.period * raw.period for side, part in zip(raw.mosaic.shape, (height, width))
    )
    part = raw.crop(top, left, height, width)
    return tuple(upright(each.preview(ratio).transpose(1, 2, 0), frame.orientation) for each in (small, part))


def _every(side: int, period: int, step: int) -> np.ndarray:
    """Indices of every `step`-th whole period."""
    starts = np.arange(0, side - period + 1, period * step)
    return (starts[:, None] + np.arange(period)).ravel()


def _cell(picture: np.ndarray, title: str) -> np.ndarray:
    """Fit a picture into a cell, under a title."""
    out = np.full((_HEIGHT + 24 + _GAP, _WIDTH + _GAP, 3), _PAPER, np.uint8)
    scale = min(_HEIGHT / picture.shape[0], _WIDTH / picture.shape[1], 1.0)
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
        picture = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
    picture = to_integer(to_float(picture))
    top, left = 24 + (_HEIGHT - picture.shape[0]) // 2, (_GAP + _WIDTH - picture.shape[1]) // 2
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    text = title.encode("ascii", "replace").decode()  # OpenCV's font knows no others
    while len(text) > 4 and cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0] > _WIDTH - 8:
        text = text[:-4] + "..."
    cv2.putText(out, text, (_GAP, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return out
