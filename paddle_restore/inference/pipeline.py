"""Restore many files: the next one is read and the last one written while the network runs."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
from tqdm import tqdm

from paddle_restore.data.camera_facts import read_camera
from paddle_restore.data.develop import develop_mosaic
from paddle_restore.data.files import list_files, make_folder
from paddle_restore.data.formats import FORMATS, format_of_name, is_picture, is_raw
from paddle_restore.data.image import output_format, read_image
from paddle_restore.data.matching import match_target
from paddle_restore.data.pixels import to_float, upright
from paddle_restore.data.raw import develop, read_raw
from paddle_restore.errors import UserError, line_of, listed
from paddle_restore.inference.files import FileOptions, FileTask, find_tasks, skipped
from paddle_restore.inference.restored import RestoredRaw
from paddle_restore.inference.restorer import Restorer
from paddle_restore.inference.sheet import Sheet
from paddle_restore.inference.speed import Clock
from paddle_restore.metrics import evaluate
from paddle_restore.quiet import say_error

if TYPE_CHECKING:  # it imports Paddle, which takes seconds and other libraries do not need
    from paddle_restore.inference.report import Recorder


def restore_files(restorer: Restorer, options: FileOptions, recorder: Optional[Recorder] = None) -> int:
    """Restore all files and print a line for each; return the exit code.

    0 if all are done, 1 if some of several failed, 2 if all did.

    Started by paddle.distributed.launch, every process takes its share of the files.
    Raises UserError for mistakes that concern all files, and for the mistake of a single file.
    """
    tasks = find_tasks(options, restorer.kinds)
    pipeline = Pipeline(restorer, options, single=len(tasks) == 1 and options.input[0].is_file())
    make_folder(tasks[0].output.parent)
    _check_reports(options)
    _print_notes(restorer, options, tasks)
    rank, world = int(os.environ.get("PADDLE_TRAINER_ID", 0)), int(os.environ.get("PADDLE_TRAINERS_NUM", 1))
    tasks = tasks[rank::world]
    todo = [task for task in tasks if not (options.skip_existing and task.output.is_file())]
    for task in pipeline.run(todo, recorder):
        _report(task, options, pipeline.single)
    done = [task for task in todo if not task.error]
    if options.target and done:
        print(
            _line("mean", {name: float(np.mean([t.scores[name] for t in done])) for name in restorer.metrics})
        )
    if options.compare and pipeline.sheet.rows:
        sheet = options.compare
        if world > 1:  # each process has its own files to show
            sheet = sheet.with_name(f"{sheet.stem}.{rank + 1}{sheet.suffix}")
        pipeline.sheet.write(sheet)
        print(f"before and after -> {sheet}")
    kept = f", {len(tasks) - len(todo)} were there already" if len(todo) < len(tasks) else ""
    share = f" (process {rank + 1} of {world})" if world > 1 else ""
    print(f"restored {len(done)} of {len(tasks)} files to {options.output}{kept}{share}")
    return 0 if len(done) == len(todo) else 1 if done else 2


class Pipeline:
    """Reads, restores and writes files in batches. Reading and writing have a thread each."""

    def __init__(self, restorer: Restorer, options: FileOptions, single: bool):
        self.restorer, self.options, self.single = restorer, options, single
        self.sheet = Sheet()
        self._clock = Clock(restorer.forward_of)
        self._targets: list[Path] = []
        if options.target:
            self._targets = list_files(
                options.target, lambda path: is_raw(path) or is_picture(path), "pictures or raw files"
            )

    def run(self, tasks: Sequence[FileTask], recorder: Optional[Recorder] = None) -> Iterator[FileTask]:
        """Yield finished tasks in order. A recorder times the steps, which then do not overlap."""
        self._clock.start(len(tasks))
        size = self.restorer.forward.batch_size
        batches = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        if recorder:
            for batch in batches:
                with recorder.step("preprocess"):
                    self._read(batch)
                with recorder.step("inference"):
                    self._restore(batch)
                with recorder.step("postprocess"):
                    self._write(batch)
                yield from batch
            return
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            writing: Optional[Future] = None
            for batch in self._read_ahead(batches, reader):
                self._restore(batch)
                if writing:
                    yield from writing.result()
                writing = writer.submit(self._write, batch)
            if writing:
                yield from writing.result()

    def _read_ahead(
        self, batches: Sequence[Sequence[FileTask]], reader: Executor
    ) -> Iterator[Sequence[FileTask]]:
        """Yield batches that are read, while the next one is being read."""
        reading: Optional[Future] = None
        for batch in batches:
            following = reader.submit(self._read, batch)
            if reading:
                yield reading.result()
            reading = following
        if reading:
            yield reading.result()

    def _read(self, batch: Sequence[FileTask]) -> Sequence[FileTask]:
        for task in batch:
            with _step(task):
                if task.output.resolve() == task.path.resolve():
                    raise UserError(f"{task.output}: is the input itself; choose another --output")
                ratio, target = self.options.ratio, self._target(task.path)
                if ratio is None and target is not None:
                    ratio = _known_ratio(self.restorer, task.path, target)
                task.input = self.restorer.read(task.path, ratio)
                task.notes = task.input.form.notes
        return batch

    def _restore(self, batch: Sequence[FileTask]) -> None:
        # Pictures of one depth go together. None stands for floats, which the metrics of a reference need.
        groups: dict[Optional[int], list[FileTask]] = {}
        for task in batch:
            if task.input is not None:
                depth = None if self.options.target else self.options.depth or _depth(task)
                groups.setdefault(depth, []).append(task)
        for depth, group in groups.items():
            start = time.perf_counter()
            try:
                self._run_network(group, depth)
            except (UserError, MemoryError):
                for task in group:  # one by one, to find the one that fails
                    with _step(task):
                        self._run_network([task], depth)
            else:
                for task in group:
                    task.seconds += (time.perf_counter() - start) / len(group)
        for task in batch:
            if self.options.compare and task.input and task.restored and not self.sheet.full:
                self.sheet.add(task.path.name, task.input.preview(), task.restored)
            task.input = None  # writing a large picture needs its memory

    def _run_network(self, tasks: list[FileTask], depth: Optional[int]) -> None:
        inputs = [task.input for task in tasks if task.input]
        total = sum(map(self.restorer.count, inputs))
        self._clock.begin(tasks[0].path.name, inputs)
        # A progress bar for many tiles or files only, and only on a terminal.
        hidden = True if max(total, self._clock.files) < 4 else None
        with tqdm(total=total, desc=self._clock.title, unit="tile", leave=False, disable=hidden) as bar:
            for task, restored in zip(tasks, self.restorer.run(inputs, depth, bar.update)):
                task.restored, task.ratio = restored, restored.ratio
        self._clock.end(len(tasks))

    def _write(self, batch: Sequence[FileTask]) -> Sequence[FileTask]:
        options = self.options
        keep_metadata = None if options.metadata is None else options.metadata == "keep"
        for task in batch:
            if not task.restored:
                continue
            with _step(task):
                target = self._target(task.path)
                if target is not None:
                    task.scores = _compare(task, target, self.restorer.metrics)
                self.restorer.write(
                    task.restored, task.output, options.depth, keep_metadata, options.colour_space
                )
            task.restored = None  # the pictures of a long list do not fit into memory
        return batch

    def _target(self, path: Path) -> Optional[Path]:
        target = self.options.target
        if target is None or not self._targets:
            return None
        if target.is_dir():
            return match_target(path, self._targets)
        if not self.single:
            raise UserError(
                f"{target}: is one file, and there are several inputs; give a folder of references"
            )
        return target


@contextmanager
def _step(task: FileTask) -> Iterator[None]:
    """Add the time of a step to its file, and keep a user's error with it."""
    start = time.perf_counter()
    try:
        yield
    except MemoryError:
        task.error = UserError(f"{task.path}: does not fit into memory; give --tile N or a smaller --memory")
    except UserError as error:
        task.error = error
    except Exception as error:  # a decoder may raise anything for a damaged file
        reason = line_of(f"{type(error).__name__}: {line_of(error, 150)}")
        task.error = UserError(f"{task.path}: cannot be restored ({reason}); --debug shows where it fails")
        task.error.__cause__ = error
    finally:
        task.seconds += time.perf_counter() - start


def read_reference(path: Path, mosaic: bool = False) -> np.ndarray:
    """Read a reference picture, (H, W, 3) float32: a picture, or a raw file that LibRaw develops.

    It is developed as restored frames are where `mosaic` is true, else as SID's references.
    """
    if is_picture(path):
        return to_float(read_image(path))
    if mosaic:
        return to_float(develop_mosaic(read_raw(path), read_camera(path))[0])
    return to_float(upright(develop(path), read_raw(path).orientation))


def _known_ratio(restorer: Restorer, path: Path, target: Path) -> Optional[float]:
    """Return long over short exposure time, at most `max_ratio`, where both raw files say it.

    None where they do not, and for a network that was trained on estimated ratios.
    """
    restorer = restorer.of_source(path)
    if not restorer.spec.raw or is_picture(target) or restorer.preprocess.ratio == "auto":
        return None
    short, long = read_raw(path).exposure_time, read_raw(target).exposure_time
    return min(long / short, restorer.preprocess.max_ratio) if short > 0 and long > 0 else None


def _compare(task: FileTask, target: Path, metrics: tuple[str, ...]) -> dict[str, float]:
    assert task.restored
    reference = read_reference(target, isinstance(task.restored, RestoredRaw))
    picture = to_float(task.restored.picture)
    if reference.shape != picture.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (reference.shape, picture.shape)]
        raise UserError(f"{target}: has {sizes[0]} pixels, but {task.path} gives {sizes[1]}")
    return evaluate(picture, reference, metrics)


def _depth(task: FileTask) -> int:
    assert task.input
    own = task.input.form.depth
    return own if is_raw(task.output) else output_format(task.output).nearest_depth(own)


def _report(task: FileTask, options: FileOptions, single: bool) -> None:
    """Print a file's result. Raises the error of a single file."""
    summary = options.summary
    if summary:
        values: dict[str, Any] = {"file": str(task.path), "seconds": round(task.seconds, 4)}
        if task.error:
            values["error"] = str(task.error)
        else:
            values.update(output=str(task.output), ratio=task.ratio, **task.scores)
        if task.notes:
            values["notes"] = task.notes
        # A byte of a name that is no UTF-8 becomes an escape, which JSON knows too.
        _append(summary, (json.dumps(values, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))
    if task.error:
        if single:
            raise task.error
        say_error(task.error)
        cause = task.error.__cause__
        if options.debug and cause:
            traceback.print_exception(type(cause), cause, cause.__traceback__)
        return
    for note in task.notes:
        print(f"note: {task.path}: {note}")
    # A raw frame's exposure is that of its development.
    shown = {"ratio": task.ratio, **task.scores} if task.ratio and not is_raw(task.output) else task.scores
    print(f"{_line(task.path, shown)} -> {task.output}", flush=True)


def _append(path: Path, content: bytes) -> None:
    """Append in one write, so that the lines of several processes do not mix."""
    try:
        with path.open("ab", buffering=0) as file:
            if file.write(content) < len(content):
                raise OSError("the disk is full")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def _check_reports(options: FileOptions) -> None:
    """Raise UserError before the work if the reports cannot be written."""
    if options.summary:
        _append(options.summary, b"")
    if options.compare:
        output_format(options.compare)
        if options.compare.is_dir():
            raise UserError(f"{options.compare}: is a folder; name a picture for --compare")
        make_folder(options.compare.parent)


def _print_notes(restorer: Restorer, options: FileOptions, tasks: Sequence[FileTask]) -> None:
    """Say which files of a folder are skipped, and where a ratio is only an estimate."""
    spec = restorer.spec
    for given in options.input:
        reasons = skipped(given, restorer.kinds) if given.is_dir() else {}
        for reason, names in reasons.items():
            print(f"note: {reason}; skipped {listed(names)}")
    formats = {format_of_name(task.path) for task in tasks if not options.format and is_picture(task.output)}
    for one in formats:
        if one and not one.write and options.output.is_dir():
            written = FORMATS[one.instead].title
            print(f"note: {one.title} is not written; the restored pictures are {written} (--format chooses)")
    preprocess = restorer.preprocess
    if spec.amplifier and preprocess.ratio == "known" and not (options.ratio or options.target):
        print(
            f"note: {spec.id} was trained on the ratio of the exposure times; "
            "the estimate from the file alone may be far from it, --ratio N sets it"
        )
    if spec.raw and spec.output == "picture" and preprocess.white_balance is None:
        print(
            f"note: {spec.id} knows the colours of one camera, and nothing says which; files of others may "
            "come out tinted (set data.white_balance in its recipe and export it again)"
        )


def _line(name: object, values: dict[str, float]) -> str:
    numbers = (f"{key}: {value:.{1 if key == 'ratio' else 4}f}" for key, value in values.items())
    return ", ".join([f"image_name: {name}", *numbers])
