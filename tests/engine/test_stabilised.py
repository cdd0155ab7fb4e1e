"""Stabilised planes are scored as the pictures that the sample makes of them."""

from __future__ import annotations

import numpy as np

from paddle_restore.engine.evaluator import measure_picture
from paddle_restore.models.spec import ModelSpec

SPEC = ModelSpec("net", "bayer", 1, 1, 0, "", "", "", output="mosaic")


def test_planes_are_developed_before_they_are_measured():
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 40, (4, 24, 32)).astype(np.float32)
    sample = {
        "input": target + rng.standard_normal(target.shape).astype(np.float32),
        "target": target,
        "name": "a",
        "develop": lambda planes: np.clip(planes[:3] / 40, 0, 1),
    }
    shapes = []

    def network(x: np.ndarray) -> np.ndarray:
        shapes.append(x.shape)
        return 0.5 * (x + target)

    row, pictures = measure_picture(network, SPEC, sample, ("psnr",))
    assert shapes == [(1, 4, 24, 32)]
    assert {name: picture.shape for name, picture in pictures.items()} == dict.fromkeys(
        ("input", "out", "gt"), (24, 32, 3)
    )
    # Half of the noise is left: 6 dB more, but for what is clipped.
    assert 5.5 < row["psnr"] - row["baseline"]["psnr"] < 6.5
