"""sRGB photograph -> values of a camera's sensor.

Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019, section 3, which inverts
a camera's pipeline step by step. Here LibRaw's pipeline is inverted, so that LibRaw develops the mosaic to
the photograph. Two steps differ from the paper. Tone curve and gamma are LibRaw's one curve (ITU-R BT.709).
Highlights keep their values, and the paper bends them towards saturation: a short exposure is the same
radiance divided by the ratio, in which bent highlights would turn magenta.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_XYZ_FROM_SRGB = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)  # linear sRGB -> XYZ, D65 (IEC 61966-2-1)


def radiance(photo: np.ndarray, color_matrix: Sequence[float], white_balance: Sequence[float]) -> np.ndarray:
    """Return the camera's linear RGB of `photo`, without mosaic and noise, not clipped above.

    photo          (H, W, 3), sRGB in [0, 1]
    color_matrix   XYZ (D65) -> camera RGB, nine numbers row by row
    white_balance  multipliers of camera R, G, B that make white neutral
    Returns (H, W, 3) float32 >= 0, where 1 is the sensor's saturation in the long exposure; the
    photograph's white is 1 / white_balance.
    """
    linear = _linear(np.asarray(photo, np.float32))
    matrix = _camera_from_srgb(color_matrix) / np.asarray(white_balance, float)[:, None]
    camera = linear @ matrix.T.astype(np.float32)
    return np.maximum(camera, 0)  # colours that the camera cannot see


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Return the (H, W) mosaic of (H, W, 3) `rgb` behind the colour filters of `pattern`.

    `pattern` has 4 or 36 letters R, G, B, row by row from the top left corner.
    """
    period = 2 if len(pattern) == 4 else 6
    values = np.empty(rgb.shape[:2], rgb.dtype)
    for position, letter in enumerate(pattern):
        row, column = divmod(position, period)
        values[row::period, column::period] = rgb[row::period, column::period, "RGB".index(letter)]
    return values


def _linear(photo: np.ndarray) -> np.ndarray:
    """Invert ITU-R BT.709's transfer curve, LibRaw's default."""
    power = ((photo + 0.099) / 1.099) ** (1 / 0.45)
    return np.where(photo < 0.081, photo / 4.5, power).astype(np.float32)


def _camera_from_srgb(color_matrix: Sequence[float]) -> np.ndarray:
    """Return the matrix linear sRGB -> white-balanced camera RGB. Rows sum to 1: white stays white."""
    matrix = np.asarray(color_matrix, float).reshape(3, 3) @ _XYZ_FROM_SRGB
    return matrix / matrix.sum(axis=1, keepdims=True)
