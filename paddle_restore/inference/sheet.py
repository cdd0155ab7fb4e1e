"""A sheet that compares inputs and restored pictures: each whole, and its middle at full size."""

from __future__ import annotations

from pathlib import Path
from typing import Union

import cv2
import numpy as np

from paddle_restore.data.image import write_image
from paddle_restore.data.pixels import to_float, to_integer
from paddle_restore.inference.restored import Restored, RestoredRaw

_WIDTH, _HEIGHT, _GAP, _TITLE = 400, 300, 8, 24
_MAX_ROWS = 24
_BACKGROUND, _TEXT = 245, (60, 60, 60)


class Sheet:
    """Rows of four cells: before and after as a whole, then the middle of both, pixel by pixel."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    @property
    def full(self) -> bool:
        return len(self.rows) >= _MAX_ROWS

    def add(self, name: str, before: np.ndarray, restored: Union[Restored, RestoredRaw]) -> None:
        """Add a row; `before` is the input's preview, (H, W, 3)."""
        after = restored.picture
        height, width = (min(side, cell) for side, cell in zip(after.shape, (_HEIGHT, _WIDTH)))
        top, left = (after.shape[0] - height) // 2, (after.shape[1] - width) // 2
        middle = np.s_[top : top + height, left : left + width]
        cells = (
            (before, f"{name}, x{restored.ratio:.0f}" if restored.ratio else name),
            (after, "restored"),
            (before[middle], "middle, 100 %"),
            (after[middle], "restored, 100 %"),
        )
        self.rows.append(np.hstack([_cell(picture, title) for picture, title in cells]))

    def write(self, path: Path) -> None:
        """Write the sheet. Raises UserError where that is not possible."""
        write_image(path, np.vstack(self.rows))


def _cell(picture: np.ndarray, title: str) -> np.ndarray:
    """Fit a picture into a cell, under a title."""
    cell = np.full((_HEIGHT + _TITLE + _GAP, _WIDTH + _GAP, 3), _BACKGROUND, np.uint8)
    scale = min(_HEIGHT / picture.shape[0], _WIDTH / picture.shape[1], 1.0)
    if scale < 1:
        size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
        picture = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
    picture = to_integer(to_float(picture))
    top, left = _TITLE + (_HEIGHT - picture.shape[0]) // 2, (_GAP + _WIDTH - picture.shape[1]) // 2
    cell[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    text = title.encode("ascii", "replace").decode()  # OpenCV's font has no other characters
    while len(text) > 4 and cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0] > _WIDTH - 8:
        text = text[:-4] + "..."
    cv2.putText(cell, text, (_GAP, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _TEXT, 1, cv2.LINE_AA)
    return cell
