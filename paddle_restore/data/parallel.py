"""The same work on many files, by several processes or threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from tqdm import tqdm

from paddle_restore.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    items: Collection[Item], work: Callable[[Item], Result], workers: int, threads: bool = False
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, work(item)) in the order of completion by `workers` processes or threads; 0 uses none.

    Raises UserError if a process is killed.
    """
    if not workers:
        yield from ((item, work(item)) for item in items)
        return
    # Spawned processes would run the calling script again.
    forked = partial(ProcessPoolExecutor, mp_context=get_context("fork"), initializer=_end_with_parent)
    pool: Executor = ThreadPoolExecutor(workers) if threads else forked(workers)
    futures = {pool.submit(work, item): item for item in items}
    try:
        for future in as_completed(futures):
            yield futures.pop(future), future.result()  # pop, so that results are not kept
    except BrokenProcessPool:
        raise UserError("a worker process was killed, probably because memory ran out; use fewer") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when its parent has gone: a killed parent leaves its workers waiting for work."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def errors_of(work: Callable[[Item], object], items: Collection[Item], workers: int, what: str) -> list[str]:
    """Work on every item in threads, with a progress bar; return the error lines in the items' order.

    Threads suffice where decoding, encoding and compressing release Python's lock.
    """

    def attempt(item: Item) -> str:
        try:
            work(item)
        except UserError as error:
            return str(error)
        return ""

    results = each(items, attempt, workers, threads=True)
    lines = dict(tqdm(results, total=len(items), desc=what, unit="file"))
    return [lines[item] for item in items if lines[item]]
