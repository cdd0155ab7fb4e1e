"""Measure whether running Lamba's three branches at the same time is faster.

    OMP_NUM_THREADS=2 python benchmarks/lamba_branches.py [--size 1024x1024] [--trials 15]

Prints the median milliseconds of each branch alone, of the forward that runs one after the other, and
of one that runs each branch in a thread of its own (Paddle releases Python's lock inside an operator).
All take turns, so that changes of the machine's speed affect all alike. Also prints the best possible gain:
the time of the longest branch instead of the sum. OMP_NUM_THREADS sets the cores of an operator. CPU only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paddle_restore.devices import use_device


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1024x1024", metavar="HxW")
    parser.add_argument("--trials", type=int, default=15)
    args = parser.parse_args()
    use_device("cpu")
    import paddle

    from paddle_restore.models import create_model
    from paddle_restore.models.layers import pixel_unshuffle

    model = create_model("lamba").deployed()
    model.eval()
    x = paddle.rand([1, 1, *map(int, args.size.lower().split("x"))])
    branches = {"1/32": model.coarse_branch, "1/8": model.middle_branch, "1/2": model.fine}
    pool = ThreadPoolExecutor(len(branches))

    def alone(branch):
        def work(half):
            with paddle.no_grad():  # a setting of the thread
                return branch(half)

        return work

    workers = [alone(branch) for branch in branches.values()]

    def sequential():
        half = pixel_unshuffle(x, 2)
        return model.joined(*[work(half) for work in workers])

    def concurrent():
        half = pixel_unshuffle(x, 2)
        return model.joined(*pool.map(lambda work: work(half), workers))

    half = pixel_unshuffle(x, 2)
    ways = {f"branch {name}": lambda work=work: work(half) for name, work in zip(branches, workers)}
    ways |= {"one after the other": sequential, "at the same time": concurrent}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with paddle.no_grad():
        difference = float((sequential() - concurrent()).abs().max())
        for _ in range(args.trials):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:20} {median:7.1f} ms")
    parts = [median for name, median in medians.items() if name.startswith("branch")]
    whole, both = medians["one after the other"], medians["at the same time"]
    print(
        f"gain {100 * (1 - both / whole):.0f} %, at best {100 * (sum(parts) - max(parts)) / whole:.0f} %; ",
        end="",
    )
    print(f"largest difference of the outputs {difference:.1e}")


if __name__ == "__main__":
    main()
