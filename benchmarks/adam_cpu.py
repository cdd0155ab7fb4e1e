"""Why build_optimizer asks for use_multi_tensor: a training step with either Adam kernel, side by side.

    python benchmarks/adam_cpu.py [--size 256] [--steps 5]

Prints the median milliseconds of a SID step with each kernel. Each runs in a process of its own, because the
slow kernel slows its whole process down. They take turns, so that changes of the machine's speed affect both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def measure(multi_tensor: bool, size: int, steps: int) -> float:
    """Median seconds of a step on a packed (1, 4, size, size) crop."""
    from paddle_restore.devices import use_device

    use_device("cpu")
    import paddle

    from paddle_restore import create_model

    model = create_model("sid_unet")
    optimizer = paddle.optimizer.Adam(1e-4, parameters=model.parameters(), use_multi_tensor=multi_tensor)
    x = paddle.rand([1, 4, size, size])
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        model(x).abs().mean().backward()
        optimizer.step()
        optimizer.clear_grad()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kernel", choices=["single", "multi"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.kernel:
        print(measure(args.kernel == "multi", args.size, args.steps))
        return
    times: dict[str, list[float]] = {"single": [], "multi": []}
    for _ in range(args.rounds):
        for kernel, seconds in times.items():
            words = [sys.executable, __file__, "--size", str(args.size), "--steps", str(args.steps)]
            done = subprocess.run([*words, "--kernel", kernel], check=True, capture_output=True, text=True)
            seconds.append(float(done.stdout.split()[-1]))
    for kernel, seconds in times.items():
        print(f"use_multi_tensor={kernel == 'multi'!s:5} {1000 * statistics.median(seconds):6.0f} ms a step")
    ratios = [a / b for a, b in zip(times["single"], times["multi"])]
    print(f"ratio {statistics.median(ratios):.1f} (of {', '.join(f'{r:.1f}' for r in ratios)})")


if __name__ == "__main__":
    main()
