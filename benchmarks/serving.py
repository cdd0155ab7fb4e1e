"""Cost of the service: overhead over the restorer alone, throughput and latency, memory over many requests.

    python benchmarks/serving.py [--picture DIR] [--raw DIR] [--workers 1] [--threads 1] [--repeats 10]
                                 [--requests 32] [--small 2000] [--concurrency 1 2 4 8] [--parts ...]

DIR are exported folders. Without them two tiny networks are exported, so that the share of the service is as
large as possible. Prints three tables: a 1-megapixel PNG and a 12-megapixel DNG through the service and
through the restorer in turn; both with several clients at once; resident memory over small requests.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from paddle_restore.data.image import write_image  # noqa: E402
from paddle_restore.data.synthetic.dng import write_dng  # noqa: E402
from paddle_restore.huge_pages import ENVIRONMENT, ask_for_huge_pages  # noqa: E402
from paddle_restore.inference.restorer import Restorer  # noqa: E402

PARTS = ("overhead", "load", "memory")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--picture", type=Path, help="exported network for pictures")
    parser.add_argument("--raw", type=Path, help="exported network for Bayer raw files")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="of each worker, and of the bare restorer")
    parser.add_argument("--repeats", type=int, default=10, help="pairs of service and restorer")
    parser.add_argument("--requests", type=int, default=32, help="of each row under load")
    parser.add_argument("--small", type=int, default=2000, help="requests over which memory is watched")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    ask_for_huge_pages()  # as the service's workers have them
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not (args.picture and args.raw):
            export_tiny(folder)
        models = {"picture": args.picture or folder / "picture", "raw": args.raw or folder / "raw"}
        make_files(folder)
        with Service(models, args) as service:
            for part in args.parts:
                {"overhead": overhead, "load": load, "memory": memory}[part](service, models, folder, args)


def export_tiny(folder: Path) -> None:
    import paddle

    from paddle_restore import create_model
    from paddle_restore.inference.export import export
    from paddle_restore.inference.package import Preprocess

    paddle.seed(0)
    export(create_model("mirnet_v2_small", width=8, groups=[1]), folder / "picture", "picture", Preprocess())
    export(create_model("sid_unet", width=4), folder / "raw", "raw", Preprocess())


def make_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (1000, 1000, 3))
    write_image(folder / "picture.png", np.clip(np.linspace(0, 1, 1000)[:, None, None] + noise, 0, 1))
    write_image(folder / "small.png", rng.random((64, 64, 3)))
    mosaic = rng.poisson(60, (2848, 4256)) + 512
    write_dng(folder / "raw.dng", mosaic.astype(np.uint16), black_level=512, white_level=16383, bits=14)


class Service:
    """The service as a process of its own."""

    def __init__(self, models: dict[str, Path], args: argparse.Namespace):
        words = ("--workers", args.workers, "--threads", args.threads, "--port", 0, "--queue", 64)
        command = [sys.executable, "-m", "paddle_restore", "serve", "--seconds", "600", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for name in ("PADDLE_RESTORE_TOKEN", *ENVIRONMENT):  # the service says itself what its workers get
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [*command, "--model_dir", *map(str, models.values())],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        self.host, self.port = re.search(r"http://([^:]+):(\d+)", line).groups()
        self.names = dict(zip(models, re.search(r"serving (\S+), (\S+) at", line).groups()))

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def restore(self, kind: str, content: bytes, form: str = "png") -> float:
        """Return the seconds that a request took, from connecting to the picture's last byte."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=900)
        connection.request("POST", f"/v1/restore?model={self.names[kind]}&format={form}", content)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{kind}: {answer.status} {body[:200]!r}")
        return time.perf_counter() - start

    def processor(self) -> float:
        """Processor seconds that the service and its workers have used: what else runs does not count."""
        main = psutil.Process(self.process.pid)
        times = [process.cpu_times() for process in (main, *main.children())]
        return sum(time.user + time.system for time in times)

    def memory(self) -> dict[str, float]:
        connection = http.client.HTTPConnection(self.host, int(self.port))
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        found = re.findall(r'paddle_restore_resident_bytes\{process="(\w+)"\} (\S+)', text)
        return {name: float(value) for name, value in found}


def overhead(service: Service, models: dict[str, Path], folder: Path, args: argparse.Namespace) -> None:
    """Alternate between the two, so that other load on the machine affects both."""
    rows = []
    for kind, name in (("picture", "picture.png"), ("raw", "raw.dng")):
        restorer = Restorer(models[kind], threads=args.threads)
        path, content = folder / name, (folder / name).read_bytes()
        times: list[tuple[float, ...]] = []
        for number in range(args.repeats + 1):
            start, used = time.perf_counter(), time.process_time()
            restorer.save(path, folder / "out.png", metadata=False)
            bare = (time.perf_counter() - start, time.process_time() - used)
            used = service.processor()
            served = service.restore(kind, content)
            if number:  # the first of each is slower
                times.append((*bare, served, service.processor() - used))
        wall, own, served, used = (median(column) for column in zip(*times))
        more = [median(row[i + 2] / row[i] for row in times) - 1 for i in (0, 1)]
        rows.append([name, wall, served, f"{100 * more[0]:+.1f} %", own, used, f"{100 * more[1]:+.1f} %"])
    headers = ("file", "restorer, s", "service, s", "more", "restorer, CPU s", "service, CPU s", "more")
    print(tabulate(rows, headers, floatfmt=".3f"), "\n", flush=True)


def load(service: Service, models: dict[str, Path], folder: Path, args: argparse.Namespace) -> None:
    rows = []
    for kind, name in (("picture", "picture.png"), ("raw", "raw.dng")):
        content = (folder / name).read_bytes()
        for clients in args.concurrency:
            with ThreadPoolExecutor(clients) as pool:
                start = time.perf_counter()
                count = max(args.requests, 2 * clients)
                seconds = list(pool.map(lambda _: service.restore(kind, content), range(count)))  # noqa: B023
                whole = time.perf_counter() - start
            row = [name, clients, count, count / whole, *np.percentile(seconds, (50, 95, 99))]
            rows.append(row)
            print("\t".join(str(value) for value in row), file=sys.stderr, flush=True)
    headers = ("file", "clients", "requests", "requests/s", "p50, s", "p95, s", "p99, s")
    print(tabulate(rows, headers, floatfmt=".3f"), "\n", flush=True)


def memory(service: Service, models: dict[str, Path], folder: Path, args: argparse.Namespace) -> None:
    """Memory from a tenth of the requests on, when all caches are filled."""
    content = (folder / "small.png").read_bytes()
    rows, step = [], max(1, args.small // 10)
    for number in range(1, args.small + 1):
        service.restore("picture", content)
        if number % step == 0:
            now = service.memory()
            rows.append([number, *(now[name] / 1e6 for name in ("service", "workers"))])
    growth = [f"{100 * (rows[-1][i] / rows[0][i] - 1):+.2f} %" for i in (1, 2)]
    print(tabulate([*rows, ["growth", *growth]], ("requests", "service, MB", "workers, MB"), floatfmt=".1f"))


if __name__ == "__main__":
    main()
