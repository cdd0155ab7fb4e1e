"""Training from a cache of decoded frames: time per sample, time per step, memory of the whole job.

    python benchmarks/sid_cache.py [--bayer 60] [--xtrans 20] [--folder DIR]

Makes a SID tree of 12-megapixel frames in DIR (default: a temporary folder, removed at the end; the
full one takes 4 GB), caches it with tools/prepare_sid.py's own code, and prints three tables. The
sources are hard links to a few synthetic files; every cached frame is a file of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import yaml
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from paddle_restore.data import survey  # noqa: E402
from paddle_restore.data.cache import CachedFrames  # noqa: E402
from paddle_restore.data.datasets.sid import SIDOptions, SIDTrain  # noqa: E402
from paddle_restore.data.synthetic.dng import XTRANS_PATTERN, write_dng  # noqa: E402
from paddle_restore.data.synthetic.noise import load_camera  # noqa: E402
from paddle_restore.models import model_spec  # noqa: E402

CROP = 512
# folder: network, colour pattern, height, width, and a frame small enough to evaluate at once
SENSORS = {
    "Sony": ("sid_unet", "RGGB", 2848, 4256, 512),
    "Fuji": ("sid_unet_xtrans", XTRANS_PATTERN, 2832, 4254, 516),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bayer", type=int, default=60, help="frames of 4256x2848: half short, half long")
    parser.add_argument("--xtrans", type=int, default=20, help="frames of 4254x2832, X-Trans")
    parser.add_argument("--folder", type=Path, help="keep the data here, and use what is there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        for name, frames in (("Sony", args.bayer), ("Fuji", args.xtrans)):
            if not (folder / f"{name}_all.txt").is_file():
                make_tree(folder, name, max(frames // 2, 10))
        for name in SENSORS:
            print(tabulate([sample_row(folder, name)], SAMPLE_HEADERS, floatfmt=".1f"), flush=True)
        print()
        rows = []
        for row in memory_rows(folder):
            print(*row, file=sys.stderr, flush=True)  # each takes a while
            rows.append(row)
        print(tabulate(rows, MEMORY_HEADERS, floatfmt=".2f"))


def make_tree(folder: Path, name: str, scenes: int) -> None:
    """Write `scenes` pairs, lists of a tenth and of all of them, and a small pair for evaluation."""
    _, pattern, height, width, small = SENSORS[name]
    camera = load_camera(ROOT / "configs/cameras/sony_a7s2.yml")
    for kind in ("short", "long"):
        (folder / name / kind).mkdir(parents=True, exist_ok=True)
    lines = []
    for scene, (rows, columns) in [
        *((i + 1, (height, width)) for i in range(scenes)),
        (10001, (small, small)),
    ]:
        pair = [f"{name}/{kind}/{scene:05d}_00_{s}s.ARW" for kind, s in (("short", "0.1"), ("long", "10"))]
        for number, path in enumerate(pair):
            first = folder / re.sub(r"/\d{5}", "/00001", path)
            if scene in (1, 10001):
                rng = np.random.default_rng(scene)
                light = rng.random((rows // 64 + 1, columns // 64 + 1)).repeat(64, 0).repeat(64, 1)
                mosaic = camera.expose(light[:rows, :columns], 1600, rng, ratio=(100.0, 1.0)[number])
                levels = {"black_level": camera.black_level, "white_level": camera.white_level}
                write_dng(folder / path, mosaic, pattern=pattern, **levels)
            else:
                (folder / path).unlink(missing_ok=True)
                os.link(first, folder / path)
        lines.append(" ".join(pair))
    for list_name, part in (("all", lines[:-1]), ("tenth", lines[: scenes // 10]), ("eval", lines[-1:])):
        (folder / f"{name}_{list_name}.txt").write_text("\n".join(part) + "\n")


SAMPLE_HEADERS = [
    "",
    "frames",
    "GB cached",
    "prepared in s",
    "decoded ms",
    "cached ms",
    "ratio",
    "2 workers: ms",
]


def sample_row(folder: Path, name: str) -> list:
    """Cache the frames, then time training samples decoded and cached, taking turns."""
    network = SENSORS[name][0]
    lists = {"train_list": f"{name}_all.txt", "eval_list": f"{name}_eval.txt"}
    cache = folder / "cache"
    started = time.perf_counter()
    wanted = survey.frames_of(folder, [Path(lists["train_list"])], "first")
    assert not any(survey.fill(CachedFrames(cache, folder), wanted, workers=2))
    prepared = time.perf_counter() - started
    size = sum(file.stat().st_size for file in (cache / name).rglob("*") if file.is_file())
    decoded, cached = (
        SIDTrain(SIDOptions(root=folder, crop=CROP, cache=where, **lists), model_spec(network))
        for where in (None, cache)
    )
    seconds: dict[str, list[float]] = {"decoded": [], "cached": []}
    for turn in range(2):
        seconds["decoded"].append(timed(decoded, turn))
        seconds["cached"] += [timed(cached, index) for index in range(turn, len(cached), 2)]
    slow, fast = (1000 * float(np.median(values)) for values in seconds.values())
    return [
        f"{name}, crop {CROP}",
        len(wanted),
        size / 1e9,
        prepared,
        slow,
        fast,
        slow / fast,
        1000 * worker_seconds(cached),
    ]


def timed(data: SIDTrain, index: int) -> float:
    started = time.perf_counter()
    data.sample(index, np.random.default_rng(index))
    return time.perf_counter() - started


def worker_seconds(data: SIDTrain, samples: int = 60) -> float:
    """Seconds a sample that two worker processes deliver, after the first few."""
    from paddle_restore.data.batches import Order, batches

    stream = batches(data, Order(len(data), 1, seed=0), 0, samples + 10, workers=2)
    for _ in range(10):
        next(stream)
    started = time.perf_counter()
    count = sum(1 for _ in stream)
    return (time.perf_counter() - started) / count


MEMORY_HEADERS = [
    "network",
    "width",
    "frames",
    "steps",
    "GB of the job",
    "GB, shared pages twice",
    "s a step",
]


def memory_rows(folder: Path):
    """Train with two workers on a tenth and on all frames; yield the peak of the process tree.

    A narrow network visits every frame in little time; the last row is the published width.
    """
    for name, width in (("Sony", 2), ("Fuji", 2), ("Sony", 32)):
        scenes = len((folder / f"{name}_all.txt").read_text().split("\n")) - 1
        steps = 2 if width == 32 else scenes
        for part in ("all",) if width == 32 else ("tenth", "all"):
            frames = 2 * len((folder / f"{name}_{part}.txt").read_text().split())
            pss, rss, seconds = job_memory(folder, name, part, width, steps)
            yield [SENSORS[name][0], width, frames // 2, steps, pss / 1e9, rss / 1e9, seconds]


def job_memory(folder: Path, name: str, part: str, width: int, steps: int) -> tuple[int, int, float]:
    """Peak of the job's proportional and summed resident set size in bytes, and seconds a step."""
    recipe = {
        "name": "memory",
        "model": {"id": SENSORS[name][0], "args": {"width": width}},
        "data": {
            "kind": "sid",
            "root": str(folder),
            "cache": str(folder / "cache"),
            "train_list": f"{name}_{part}.txt",
            "eval_list": f"{name}_eval.txt",
            "crop": CROP,
        },
        "objective": {"kind": "supervised", "losses": {"l1": 1.0}},
        "train": {"iterations": steps, "batch_size": 1, "num_workers": 2, "log_every": 1},
        "eval": {"metrics": ["psnr_uint8"]},
    }
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe))
    words = [sys.executable, str(ROOT / "tools/train.py"), "-c", str(path), "--overwrite", "--device", "cpu"]
    run = folder / f"run_{name}_{part}_{width}"
    job = psutil.Popen(
        [*words, "--output_dir", str(run)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    pss = rss = 0
    while job.poll() is None:
        sizes = [s for s in map(memory, [job, *children(job)]) if s]
        pss = max(pss, sum(s.pss for s in sizes))
        rss = max(rss, sum(s.rss for s in sizes))
        time.sleep(0.1)
    assert job.returncode == 0, job.returncode
    costs = re.findall(r"avg_batch_cost: ([\d.]+)", next(run.glob("*.log")).read_text())
    return pss, rss, float(np.median([float(cost) for cost in costs[1:] or costs]))


def children(job: psutil.Process) -> list[psutil.Process]:
    try:
        return job.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def memory(process: psutil.Process):
    try:
        return process.memory_full_info()
    except psutil.Error:  # it has just ended
        return None


if __name__ == "__main__":
    main()
