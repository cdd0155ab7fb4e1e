"""Ask a running service for pictures, and compare them with the restorer's own.

python test_tipc/serving_client.py --url URL --model_dir DIR --input DIR --output DIR
"""

from __future__ import annotations

import argparse
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore import Restorer
from paddle_restore.data.image import read_image, to_float

TOLERANCE = 1 / 255


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True)
    parser.add_argument("--model_dir", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    restorer = Restorer(args.model_dir)
    args.output.mkdir(parents=True, exist_ok=True)
    worst = 0.0
    files = sorted(args.input.iterdir())
    for path in files:
        request = urllib.request.Request(
            f"{args.url}/v1/restore?format=png&depth=16",
            data=path.read_bytes(),
            headers={"Content-Type": "application/octet-stream"},
        )
        start = time.perf_counter()
        with urllib.request.urlopen(request, timeout=300) as answer:
            body, served = answer.read(), answer.headers["X-Seconds"]
        seconds = time.perf_counter() - start
        written = args.output / f"{path.stem}.png"
        written.write_bytes(body)
        difference = float(np.abs(to_float(read_image(written)) - restorer(path)).max())
        worst = max(worst, difference)
        print(
            f"image_name: {path.name}, seconds: {seconds:.3f}, of them in the service: {served}, "
            f"largest difference from the restorer: {difference:.2e}"
        )
    good = files and worst <= TOLERANCE
    print(f"{len(files)} pictures, largest difference {worst:.2e}: {'equal' if good else 'NOT EQUAL'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
