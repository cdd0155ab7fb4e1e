"""What a SID tree holds and what is wrong with it, and filling its cache: one file at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Optional

from paddle_restore.data.cache import CachedFrames
from paddle_restore.data.matching import SIDPair, parse_list, parse_name
from paddle_restore.data.raw import read_raw
from paddle_restore.errors import UserError


def find_lists(root: Path, pattern: str) -> list[Path]:
    """Return the names of a tree's lists, in order. Raises UserError where there is none."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    names = sorted(path.relative_to(root) for path in root.glob(pattern))
    if not names:
        raise UserError(f"{root}: holds no {pattern}; the lists lie beside the folders Sony and Fuji")
    return names


@dataclass
class Survey:
    """What one list names, and the mistakes found, a line each."""

    pairs: list[SIDPair] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)

    @property
    def scenes(self) -> set[str]:
        return {pair.scene for pair in self.pairs}

    @property
    def absent(self) -> list[str]:
        """Scenes on the list of which no pair is whole."""
        whole = {pair.scene for pair in self.pairs if pair.short.is_file() and pair.long.is_file()}
        return sorted(self.scenes - whole)

    @property
    def mistakes(self) -> list[str]:
        return self.missing + self.unreadable + self.sizes


def survey(root: Path, name: Path, workers: int, progress: Callable[[Iterable], Iterable]) -> Survey:
    """Decode every file of a list and compare the sizes of each pair."""
    found = Survey([pair for _, pair in parse_list(root, name)])
    files = sorted({file for pair in found.pairs for file in (pair.short, pair.long)})
    found.missing = [f"{file}: on {name}, but not there" for file in files if not file.is_file()]
    there = [file for file in files if file.is_file()]
    shapes: dict[Path, Any] = {}
    for file, result in progress(each(there, _shape, workers), total=len(there), desc=str(name)):
        if isinstance(result, str):
            found.unreadable.append(result)
        else:
            shapes[file] = result
    for pair in found.pairs:
        short, long = shapes.get(pair.short), shapes.get(pair.long)
        if short and long and short != long:
            sizes = [f"{width}x{height}" for height, width in (short, long)]
            found.sizes.append(f"{pair.short}: {sizes[0]}, but {pair.long.name} is {sizes[1]}")
    return found


def frames_of(root: Path, names: Iterable[Path], burst: str) -> list[tuple[Path, str]]:
    """Return what training on the lists reads: (file, `.mosaic` or `.target`), each once."""
    wanted = set()
    for name in names:
        for number, pair in parse_list(root, name):
            if burst == "first" and parse_name(pair.short)["frame"] != "00":
                continue
            for file in (pair.short, pair.long):
                if not file.is_file():
                    raise UserError(f"{root / name}:{number}: names {file}, which does not exist")
            wanted |= {(pair.short, ".mosaic"), (pair.long, ".target")}
    return sorted(wanted)


def fill(frames: CachedFrames, wanted: list[tuple[Path, str]], workers: int) -> Iterator[Optional[str]]:
    """Decode what is not in the cache; yield for each frame None, or the line of an unreadable file.

    Raises UserError where the cache cannot be written.
    """
    for _, result in each(wanted, partial(_fill, frames), workers):
        yield result


def each(items: list, work: Callable, workers: int) -> Iterator[tuple[Any, Any]]:
    """Yield (item, work(item)) as the results come from `workers` processes; 0 works in this one."""
    if not workers:
        yield from ((item, work(item)) for item in items)
        return
    # Not spawned: that would run the calling script again.
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        waiting = {pool.submit(work, item): item for item in items}
        try:
            for done in as_completed(waiting):
                # Results leave with their item, so that finished frames are not kept.
                yield waiting.pop(done), done.result()
        except BrokenProcessPool:
            raise UserError("a worker process was killed, probably for want of memory; use fewer") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _shape(path: Path) -> Any:
    try:
        return read_raw(path).mosaic.shape
    except UserError as error:
        return str(error)


def _fill(frames: CachedFrames, frame: tuple[Path, str]) -> Optional[str]:
    path, suffix = frame
    if frames.find(path, suffix):
        return None
    try:
        decoded = frames.decode(path, suffix)
    except UserError as error:
        return str(error)
    frames.write(path, suffix, decoded)
    return None
