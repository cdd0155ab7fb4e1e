"""LibRaw's development of a mosaic in memory, in any of LibRaw's colour spaces."""

from __future__ import annotations

import numpy as np

from paddle_restore.data.colour_spaces import COLOUR_SPACES
from paddle_restore.data.dng import CameraFacts, dng_bytes, to_16_bits
from paddle_restore.data.mosaic import RawImage
from paddle_restore.data.pixels import upright
from paddle_restore.data.raw import open_raw_bytes, postprocess


def develop_mosaic(
    raw: RawImage, camera: CameraFacts, exposure: float = 1.0, colour_space: str = "srgb"
) -> tuple[np.ndarray, bytes]:
    """Return LibRaw's picture of a mosaic, (H, W, 3) uint16 and upright, and its ICC profile.

    It has the camera's white balance and no automatic brightening. `exposure` amplifies the light; what
    passes the white level becomes white. `colour_space` is a key of `COLOUR_SPACES`.
    Raises UserError for X-Trans frames that LibRaw finds too small.
    """
    space = COLOUR_SPACES[colour_space]
    # Above 1 the mosaic is amplified, for finer steps than LibRaw's `bright` gives. Below 1 that would pull
    # clipped pixels below the white level, where the white balance makes them pink.
    frame = to_16_bits(raw, max(exposure, 1.0))
    with open_raw_bytes(dng_bytes(frame, camera, compressed=False)) as opened:
        del frame
        picture = postprocess(
            opened,
            raw.path,
            user_flip=0,
            bright=min(exposure, 1.0),
            output_color=space.libraw,
            adjust_maximum_thr=0,  # the white level must not depend on how noisy the frame is
        )
    return upright(picture, raw.orientation), space.profile()
