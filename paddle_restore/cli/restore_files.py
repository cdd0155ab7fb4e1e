"""What restore, predict and infer have in common: files in, pictures and numbers out."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from tqdm import tqdm

from paddle_restore.cli.common import ratio
from paddle_restore.cli.inputs import Item, find_items
from paddle_restore.cli.main import fail
from paddle_restore.cli.sheet import Sheet
from paddle_restore.data.files import list_files, make_folder
from paddle_restore.data.image import check_name, is_picture, to_float
from paddle_restore.data.matching import match_target
from paddle_restore.data.raw import is_raw
from paddle_restore.errors import UserError, listed
from paddle_restore.inference.report import Recorder
from paddle_restore.inference.restorer import Frame, Restored, Restorer
from paddle_restore.metrics import evaluate

METRICS = ("psnr", "ssim_rgb_matlab")
FORMATS = ("png", "jpg", "tif", "webp")


def add_files(parser: argparse.ArgumentParser, positional: bool = False) -> None:
    inputs: dict[str, Any] = {"type": Path, "nargs": "+", "help": "files, folders or patterns"}
    if positional:
        parser.add_argument("input", metavar="INPUT", **inputs)
    else:
        parser.add_argument("--input", required=True, **inputs)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="folder for the pictures, or the name of the only one",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="of the pictures (default: the input's own; PNG for raw files)"
    )
    parser.add_argument(
        "--depth",
        type=int,
        choices=(8, 16),
        help="bits (default: the input's own; 16 for raw files; JPEG and WebP always have 8)",
    )
    parser.add_argument(
        "--metadata",
        choices=("keep", "none"),
        default="keep",
        help="colour profile and EXIF (place and camera too) of the input: written along, or left out",
    )
    parser.add_argument("--target", type=Path, help="reference picture or raw file, or a folder of them")
    parser.add_argument(
        "--ratio",
        type=ratio,
        default="auto",
        metavar="auto|N",
        help="amplification of raw files; auto: from the exposure times where --target is a raw file, "
        "else (or where the recipe says data.ratio: auto) estimated from the file",
    )
    parser.add_argument(
        "--amplifier_m",
        type=int,
        choices=(1, 5, 8),
        help="m of an estimated ratio, which it multiplies (default: the recipe's)",
    )
    parser.add_argument("--skip_existing", action="store_true", help="leave pictures that are there already")
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="append a line of JSON for every file to this one"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="also draw before and after on one sheet"
    )


@dataclass
class _Job:
    """One file on its way through the three steps."""

    item: Item
    frame: Optional[Frame] = None
    restored: Optional[Restored] = None
    error: Optional[UserError] = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def restore_files(restorer: Restorer, args: argparse.Namespace, recorder: Optional[Recorder] = None) -> int:
    """Restore all files; return the exit code: 1 where some of several failed.

    Started by paddle.distributed.launch, every process takes its share of the files.
    """
    if args.amplifier_m:
        restorer.preprocess = restorer.preprocess.model_copy(update={"amplifier_m": args.amplifier_m})
    wanted, what = (is_raw, "raw files") if restorer.spec.raw else (is_picture, "pictures")
    items = find_items(args.input, wanted, what, args.output, args.format)
    run = _Run(restorer, args, _targets(args), single=len(items) == 1 and args.input[0].is_file())
    make_folder(items[0].written.parent)
    _check_reports(args.summary, args.compare)
    _say_what_is_skipped(args.input, items, restorer)
    if restorer.spec.raw and restorer.preprocess.ratio == "known" and not (args.ratio or args.target):
        print(
            f"note: {restorer.spec.id} was trained on the ratio of the exposure times; "
            "the estimate from the file alone may be far from it, --ratio N sets it"
        )
    rank, world = (
        int(os.environ.get(f"PADDLE_{name}", n)) for name, n in (("TRAINER_ID", 0), ("TRAINERS_NUM", 1))
    )
    items = items[rank::world]
    there = [item for item in items if args.skip_existing and item.written.is_file()]
    todo = [item for item in items if item not in there]
    size = restorer.forward.batch_size
    run.go([todo[i : i + size] for i in range(0, len(todo), size)], recorder)
    if args.target and run.scores:
        print(_format("mean", {name: float(np.mean([s[name] for s in run.scores])) for name in METRICS}))
    if args.compare and run.sheet.rows:
        sheet = args.compare
        if world > 1:  # each process has its own files to show
            sheet = sheet.with_name(f"{sheet.stem}.{rank + 1}{sheet.suffix}")
        run.sheet.write(sheet)
        print(f"before and after -> {sheet}")
    kept = f", {len(there)} were there already" if there else ""
    share = f" (process {rank + 1} of {world})" if world > 1 else ""
    print(f"restored {len(todo) - run.failed} of {len(items)} files to {args.output}{kept}{share}")
    return 1 if run.failed else 0


class _Run:
    """The files of one command: read ahead, restored, and written behind, each in a thread of its own."""

    def __init__(self, restorer: Restorer, args: argparse.Namespace, targets: Any, single: bool):
        self.restorer, self.args, self.targets, self.single = restorer, args, targets, single
        self.sheet = Sheet()
        self.scores: list[dict[str, float]] = []
        self.failed = 0

    def go(self, batches: Sequence[Sequence[Item]], recorder: Optional[Recorder] = None) -> None:
        """Restore batch after batch; with a recorder one step at a time, so that times are their own."""
        if recorder:
            for batch in batches:
                with recorder.step("preprocess"):
                    jobs = self._read(batch)
                with recorder.step("inference"):
                    self._restore(jobs)
                with recorder.step("postprocess"):
                    self._write(jobs)
                self._report(jobs)
            return
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            ahead: Optional[Future] = reader.submit(self._read, batches[0]) if batches else None
            behind: Optional[Future] = None
            for following in [*batches[1:], None]:
                if ahead is None:
                    break
                jobs = ahead.result()
                ahead = reader.submit(self._read, following) if following else None
                self._restore(jobs)
                if behind:
                    self._report(behind.result())
                behind = writer.submit(self._write, jobs)
            if behind:
                self._report(behind.result())

    def _read(self, batch: Sequence[Item]) -> list[_Job]:
        jobs = [_Job(item) for item in batch]
        for job in jobs:
            with _caught(job):
                path = job.item.path
                if job.item.written.resolve() == path.resolve():
                    raise UserError(f"{job.item.written}: is the input itself; choose another --output")
                amplification = self.args.ratio
                target = self._target(path)
                if amplification is None and target is not None:
                    amplification = self.restorer.known_ratio(path, target)
                job.frame = self.restorer.read(path, amplification)
        return jobs

    def _restore(self, jobs: list[_Job]) -> None:
        ready = [job for job in jobs if not job.error]
        depth = None if self.args.target else self.args.depth
        # Pictures of one depth go together; floats only where a reference is compared.
        groups: dict[Any, list[_Job]] = {}
        for job in ready:
            key = None if self.args.target else depth or _depth(job)
            groups.setdefault(key, []).append(job)
        for key, group in groups.items():
            start = time.perf_counter()
            try:
                self._run_network(group, key)
            except (UserError, MemoryError):
                for job in group:  # one by one, to tell which it was
                    with _caught(job):
                        self._run_network([job], key)
            else:
                for job in group:
                    job.seconds += (time.perf_counter() - start) / len(group)
        for job in ready:
            if self.args.compare and job.restored and not self.sheet.full:
                self.sheet.add(job.item.path.name, job.frame, job.restored)
            job.frame = None  # writing a large picture needs its memory

    def _run_network(self, jobs: list[_Job], depth: Optional[int]) -> None:
        frames = [job.frame for job in jobs]
        total = sum(self.restorer.forward.count(frame.source) for frame in frames)
        name = jobs[0].item.path.name
        # A bar for frames of many tiles only, and only on a terminal.
        with tqdm(total=total, desc=name, leave=False, disable=True if total < 4 else None) as bar:
            for job, restored in zip(jobs, self.restorer.run(frames, depth, bar.update)):
                job.restored = restored

    def _write(self, jobs: list[_Job]) -> list[_Job]:
        for job in jobs:
            with _caught(job):
                if job.error:
                    continue
                target = self._target(job.item.path)
                if target is not None:
                    job.scores = self._compare(job, target)
                keep = self.args.metadata == "keep"
                self.restorer.write(job.restored, job.item.written, self.args.depth, keep)
        return jobs

    def _report(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if self.args.summary:
                _append(self.args.summary, job)
            if job.error:
                if self.single:
                    raise job.error
                fail(job.error)
                self.failed += 1
                continue
            self.scores.append(job.scores)
            shown = {"ratio": job.restored.ratio, **job.scores} if job.restored.ratio else job.scores
            print(f"{_format(job.item.path, shown)} -> {job.item.written}", flush=True)

    def _compare(self, job: _Job, target: Path) -> dict[str, float]:
        reference, picture = self.restorer.target(target), to_float(job.restored.picture)
        if reference.shape != picture.shape:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (reference.shape, picture.shape)]
            raise UserError(f"{target}: has {sizes[0]} pixels, but {job.item.path} gives {sizes[1]}")
        return evaluate(picture, reference, METRICS)

    def _target(self, path: Path) -> Optional[Path]:
        if not self.targets:
            return None
        if self.args.target.is_dir():
            return match_target(path, self.targets)
        if not self.single:
            raise UserError(
                f"{self.args.target}: is one file, and there are several inputs; give a folder of references"
            )
        return self.targets[0]


class _caught:
    """Keep a user's error of one file with its job, and count the time that the step took."""

    def __init__(self, job: _Job):
        self.job, self.start = job, time.perf_counter()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Union[BaseException, None], _: Any) -> bool:
        self.job.seconds += time.perf_counter() - self.start
        if isinstance(error, MemoryError):
            error = UserError(
                f"{self.job.item.path}: does not fit into memory; give --tile N or a smaller --memory"
            )
        if isinstance(error, UserError):
            self.job.error = error
            return True
        return False


def _depth(job: _Job) -> int:
    eight = job.item.written.suffix.lower() in (".jpg", ".jpeg", ".webp", ".bmp")
    return 8 if eight else job.frame.form.depth


def _targets(args: argparse.Namespace) -> Optional[list[Path]]:
    if not args.target:
        return None
    return list_files(args.target, lambda p: is_raw(p) or is_picture(p), "pictures or raw files")


def _append(path: Path, job: _Job) -> None:
    """Append one line, in one write, so that the lines of several processes do not mix."""
    values: dict[str, Any] = {"file": str(job.item.path), "seconds": round(job.seconds, 4)}
    if job.error:
        values["error"] = str(job.error)
    else:
        values.update(output=str(job.item.written), ratio=job.restored.ratio, **job.scores)
    line = json.dumps(values, ensure_ascii=False) + "\n"
    _append_bytes(path, line.encode())


def _append_bytes(path: Path, content: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if os.write(handle, content) < len(content):
                raise OSError("the disk is full")
        finally:
            os.close(handle)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def _check_reports(summary: Optional[Path], sheet: Optional[Path]) -> None:
    """Raise UserError for reports that could not be written, before hours of work and not after."""
    if summary:
        _append_bytes(summary, b"")
    if sheet:
        check_name(sheet)
        if sheet.is_dir():
            raise UserError(f"{sheet}: is a folder; name a picture for --compare")
        make_folder(sheet.parent)


def _say_what_is_skipped(inputs: Sequence[Path], items: Sequence[Item], restorer: Restorer) -> None:
    """A folder may hold pictures beside raw files, or the reverse; nobody shall wonder where they went."""
    other = is_picture if restorer.spec.raw else is_raw
    taken = {item.path for item in items}
    for given in inputs:
        if not given.is_dir():
            continue
        skipped = sorted(path.name for path in given.iterdir() if path not in taken and other(path))
        if skipped:
            kind = "raw files" if restorer.spec.raw else "pictures"
            print(f"note: {restorer.spec.id} reads {kind}; skipped {listed(skipped)}")


def _format(name: Any, values: dict[str, float]) -> str:
    numbers = ", ".join(
        f"{key}: {value:.1f}" if key == "ratio" else f"{key}: {value:.4f}" for key, value in values.items()
    )
    return f"image_name: {name}" + (f", {numbers}" if numbers else "")
