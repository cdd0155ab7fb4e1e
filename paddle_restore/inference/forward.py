"""Run a network on a frame of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from paddle_restore.data.image import crop_or_pad
from paddle_restore.errors import UserError
from paddle_restore.models.spec import PACK_FACTOR, ModelSpec

Network = Callable[[np.ndarray], np.ndarray]
"""(N, C, H, W) float32 -> (N, 3, scale*H, scale*W) float32; H and W are multiples of spec.multiple."""


def restore_frame(network: Network, spec: ModelSpec, frame: np.ndarray) -> np.ndarray:
    """(C, H, W) of any size -> (3, scale*H, scale*W), clipped to [0, 1].

    Pads by reflection at the bottom and right to the network's multiple and crops back. Raises
    UserError for a frame smaller than the multiple: there is too little to reflect.
    """
    height, width = frame.shape[1:]
    if min(height, width) < spec.multiple:
        factor = PACK_FACTOR[spec.input]
        least = spec.multiple * factor
        raise UserError(
            f"a frame of {width * factor}x{height * factor} pixels is too small for {spec.id}, "
            f"which needs at least {least}x{least}"
        )
    up = [-(-size // spec.multiple) * spec.multiple for size in (height, width)]
    output = network(crop_or_pad(frame, *up)[None])[0]
    return np.clip(output[:, : height * spec.scale, : width * spec.scale], 0, 1)
