"""Overexposed parts of a raw frame stay white in what a network makes of it.

A sensor that is saturated says nothing of colour, and a network may make pink or green of it. LibRaw limits
each colour at saturation and then multiplies it by its white balance, of which the smallest is 1, so a pixel
that is saturated in all colours is white. The same rule holds here for the amplified frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from paddle_restore.data.mosaic import RawImage

_FROM, _TO = 0.9, 1.0  # of saturation, of the mean over a cell and those around it
_OWN_FROM, _OWN_TO = 0.4, 0.7  # of the cell itself: a dark line across a white sky stays
_CEILING = 2.0  # of a cell in that mean
_AROUND = 1  # cells
_CELLS = 256  # rows of cells at a time, so that a large frame takes little memory


def whiten(picture: np.ndarray, raw: RawImage, ratio: float, amplified: bool = True) -> None:
    """Make the overexposed parts of a restored picture white, in place.

    picture    (H, W, 3) of the mosaic's size, not turned upright: float32 in [0, 1], uint8 or uint16
    ratio      amplification of the frame; below 1 overexposed parts become as grey as it makes white
    amplified  what the amplification brings to white counts; else only what the sensor's saturation has
               limited, as for a network that gets values above white
    """
    grown, (top, left) = raw.extended()
    cell = 2 if raw.kind == "bayer" else 3
    white = np.float32(min(1.0, ratio) ** (1 / 2.2))
    if picture.dtype != np.float32:
        white *= np.iinfo(picture.dtype).max
    factor = raw.balance[:, None, None] * np.float32(max(ratio, 1.0) if amplified else 1.0)
    height, width = picture.shape[:2]
    step = _CELLS * cell
    step -= step % grown.period
    for start in range(0, grown.mosaic.shape[0], step):
        weight = _weights(grown, start, step, cell, factor)
        if weight is None:
            continue
        weight = weight.repeat(cell, 0).repeat(cell, 1)[:, left : left + width, None]
        first, last = max(start - top, 0), min(start - top + len(weight), height)
        part = picture[first:last]
        weight = weight[first - start + top : last - start + top]
        blended = part + weight * (white - part)
        part[...] = blended if picture.dtype == np.float32 else np.rint(blended)


def _weights(raw: RawImage, start: int, rows: int, cell: int, factor: np.ndarray) -> np.ndarray | None:
    """Return how white each cell of some rows is, (h, w) in [0, 1]; None where none is."""
    period, height, width = raw.period, *raw.mosaic.shape
    margin = -(-_AROUND * cell // period) * period
    above = min(margin, start)
    bottom = min(start + rows + margin, height)
    part = raw.crop(start - above, 0, bottom - start + above, width)
    smallest = (part.cell_colours() * factor).min(0)
    if smallest.max() <= _FROM:
        return None
    around = cv2.blur(np.minimum(smallest, _CEILING), (2 * _AROUND + 1,) * 2)
    weights = _ramp(around, _FROM, _TO) * _ramp(smallest, _OWN_FROM, _OWN_TO)
    return weights[above // cell : (min(start + rows, height) - start + above) // cell]


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
