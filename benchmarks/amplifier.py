"""Time to estimate the ratio of a dark frame; the aim is 60 ms for 12 megapixels.

    python benchmarks/amplifier.py [--size 2832x4240] [--trials 9]

Prints median and minimum milliseconds: from a raw file's sensor values, with one black level and with
one for each colour, and from a float32 array.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.data.amplify import estimate_ratio
from paddle_restore.data.raw import RawImage


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="2832x4240", metavar="HxW")
    parser.add_argument("--trials", type=int, default=9)
    args = parser.parse_args()
    height, width = map(int, args.size.split("x"))
    noise = 512 + np.random.default_rng(0).gamma(2, 30, (height, width))
    mosaic = noise.clip(0, 16383).astype(np.uint16)
    one = RawImage(mosaic, "RGGB", (512.0,) * 4, 16383.0)
    four = RawImage(mosaic, "RGGB", (512.0, 511.0, 512.0, 513.0), 16383.0)
    pixels = one.normalised()
    ways = {
        "sensor values, one black level": lambda: estimate_ratio(*one.histogram()),
        "sensor values, four black levels": lambda: estimate_ratio(*four.histogram()),
        "float32 array": lambda: estimate_ratio(pixels),
    }
    for name, estimate in ways.items():
        milliseconds = []
        for _ in range(args.trials):
            start = time.perf_counter()
            ratio = estimate()
            milliseconds.append(1000 * (time.perf_counter() - start))
        median, minimum = statistics.median(milliseconds), min(milliseconds)
        print(f"{name:33} ratio {ratio:.4f}  median {median:5.1f} ms  minimum {minimum:5.1f} ms")


if __name__ == "__main__":
    main()
