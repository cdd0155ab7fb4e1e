"""Samples -> batches of Paddle tensors.

Every random choice follows from (seed, epoch, index): the number of workers or processes and the iteration
at which a run resumes do not change a sample.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, Optional

import numpy as np
import paddle

from paddle_restore.arithmetic import ceil_div
from paddle_restore.data.datasets import Sample, TrainDataset
from paddle_restore.errors import UserError, line_of
from paddle_restore.models.spec import Latent

UNREADABLE = "unreadable"
"""Key of a batch for the error lines of replaced samples; missing where there are none."""

_ERROR, _TRACEBACK = "error", "traceback"


class WorkerError(RuntimeError):
    """A bug in a worker process, with its traceback there."""


@dataclass(frozen=True)
class Order:
    """Which samples each process takes at each iteration: a pure function of the seed.

    The processes share an epoch's samples, or with `shared` False each visits all of them.
    """

    samples: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    first_epoch: int = 0
    shared: bool = True

    @property
    def iterations(self) -> int:
        """Iterations of an epoch; the last batch is filled up from the epoch's beginning."""
        return ceil_div(self.samples, self.batch_size * (self.world if self.shared else 1))

    def batch(self, iteration: int) -> list[tuple[int, int]]:
        """Return (epoch, index) of each of this process's samples; iterations count from 0.

        Where each process visits all samples, `epoch` differs between processes, because every random choice
        about a sample follows from it.
        """
        epochs, step = divmod(iteration, self.iterations)
        epoch = self.first_epoch + epochs
        # Process r takes the r-th part of the joint batch, so that two processes with half the batch each
        # see what one process sees.
        first = (step * self.world + self.rank) * self.batch_size
        if not self.shared:
            epoch, first = epoch * self.world + self.rank, step * self.batch_size
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
        return [(epoch, int(shuffled[i % self.samples])) for i in range(first, first + self.batch_size)]


def seed_all(position: list[int]) -> int:
    """Seed the global generators of Python and NumPy, for code that draws from them; return the seed."""
    seed = int(np.random.SeedSequence(position).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    return seed


class Samples(paddle.io.Dataset):
    """A training dataset by (epoch, index), for worker processes: it raises no exception.

    An unreadable sample is replaced by another one, up to `max_unreadable` times. Which one follows from
    (seed, epoch, index), so a resumed run takes the same. An error that remains is returned as text.
    """

    def __init__(
        self, dataset: TrainDataset, seed: int, latent: Optional[Latent] = None, max_unreadable: int = 0
    ):
        self.dataset, self.seed, self.latent, self.max_unreadable = dataset, seed, latent, max_unreadable

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        try:
            return self._readable(*key)
        except UserError as error:
            return {_ERROR: str(error)}
        except Exception:
            # Paddle re-creates exceptions from their text, which fails for some types and loses the rest.
            return {_TRACEBACK: traceback.format_exc()}

    def _readable(self, epoch: int, index: int) -> Sample:
        unreadable: list[str] = []
        for attempt, candidate in enumerate(self._candidates(epoch, index)):
            try:
                # The numbers after the index keep a replacement from repeating a sample of this epoch.
                position = [self.seed, epoch, index] + ([attempt, 2] if attempt else [])
                seed_all(position)
                sample = self._sample(candidate, np.random.default_rng(position))
                return {**sample, UNREADABLE: unreadable} if unreadable else sample
            except (UserError, OSError) as error:
                unreadable.append(line_of(error))
        more = f" ({len(unreadable) - 1} others cannot be read either)" if len(unreadable) > 1 else ""
        raise UserError(f"{unreadable[0]}{more}")

    def _candidates(self, epoch: int, index: int) -> Iterator[int]:
        yield index
        if self.max_unreadable:
            others = np.random.default_rng([self.seed, epoch, index, 0, 2]).permutation(len(self))
            yield from [int(other) for other in others if other != index][: self.max_unreadable]

    def _sample(self, index: int, rng: np.random.Generator) -> Sample:
        sample = self.dataset.sample(index, rng)
        if self.latent:
            shape = self.latent.shape(*sample["input"].shape[1:])
            sample["noise"] = rng.standard_normal(shape, np.float32)
        return sample


class _Batches(paddle.io.BatchSampler):
    def __init__(self, order: Order, first: int, last: int):
        # Without the parent's constructor, which wants a dataset to shuffle.
        self.order, self.first, self.last = order, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.order.batch(iteration) for iteration in range(self.first, self.last))


def batches(
    dataset: TrainDataset,
    order: Order,
    first: int,
    last: int,
    workers: int = 0,
    latent: Optional[Latent] = None,
    max_unreadable: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yield the batches of iterations first ... last-1: each a dict of stacked tensors and lists of text.

    One set of worker processes serves all of them, across epochs. A sample that cannot be read is replaced,
    and its error line is listed under `unreadable`. Raises UserError if `max_unreadable` replacements in a
    row cannot be read either and if a worker was killed, and WorkerError for a bug in a sample.

    A network's `latent` adds `noise` of its shape, standard normal. It is drawn with the sample and not by
    the network, so that it does not depend on the number of processes.
    """
    samples, keys = Samples(dataset, order.seed, latent, max_unreadable), _Batches(order, first, last)
    # Without workers Paddle's loader reads in a thread, and hangs if a sample raises.
    stream = (
        _from_workers(samples, keys, workers) if workers else (collate([samples[k] for k in b]) for b in keys)
    )
    for batch in stream:
        yield to_tensors(batch)


def collate(samples: list[Sample]) -> dict[str, Any]:
    """Stack the samples' arrays and list their texts."""
    for sample in samples:
        if _ERROR in sample or _TRACEBACK in sample:
            # Paddle takes a batch without any array for the end of the data.
            return {**sample, "array": np.zeros(1, np.float32)}
    unreadable = [line for sample in samples for line in sample.pop(UNREADABLE, ())]
    columns = {key: [sample[key] for sample in samples] for key in samples[0]}
    batch = {k: column if isinstance(column[0], str) else np.stack(column) for k, column in columns.items()}
    return {**batch, UNREADABLE: unreadable} if unreadable else batch


def to_tensors(batch: dict[str, Any]) -> dict[str, Any]:
    if _ERROR in batch:
        raise UserError(batch[_ERROR])
    if _TRACEBACK in batch:
        raise WorkerError(f"while a sample was made:\n{batch[_TRACEBACK]}")
    return {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in batch.items()}


# ---- worker processes


def _from_workers(samples: Samples, keys: _Batches, workers: int) -> Iterator[dict[str, Any]]:
    loader = paddle.io.DataLoader(
        samples,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=collate,
        return_list=True,
        worker_init_fn=_obey_only_parent,
    )
    before = set(multiprocessing.active_children())
    with _signals_blocked(), _own_sigchld():
        stream = iter(loader)
    processes = set(multiprocessing.active_children()) - before
    finished = threading.Event()
    threading.Thread(target=_wake_when_one_dies, args=(stream, processes, finished), daemon=True).start()
    try:
        while True:
            if _one_has_died(processes):
                raise UserError(_describe_dead_worker(processes))
            try:
                batch = next(stream)
            except StopIteration:
                break
            except Exception:  # of any type, if the loader's worker has died
                if _one_has_died(processes):
                    raise UserError(_describe_dead_worker(processes)) from None
                raise
            yield batch
    finally:
        finished.set()


def _one_has_died(processes: set[BaseProcess]) -> bool:
    """Whether a worker has ended. While batches are left, none ends by itself."""
    return bool(wait([process.sentinel for process in processes], timeout=0))


def _wake_when_one_dies(stream: Any, processes: set[BaseProcess], finished: threading.Event) -> None:
    """Stop the loader's queue when a worker dies, so that the main process does not wait for its batch.

    The main process waits in C++ code, which no exception interrupts, and another worker may wait for a lock
    that the dead one held.
    """
    wait([process.sentinel for process in processes])
    while not finished.wait(1):
        with suppress(Exception):
            stream._blocking_queue.kill()


@contextmanager
def _own_sigchld() -> Iterator[None]:
    """Undo what the block sets for SIGCHLD: Paddle's handler raises wherever the main thread is.

    That can be inside a step, an evaluation or a checkpoint. A dead worker is found when the next batch is
    asked for.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Start processes inside the block in which no thread, also of a library, takes SIGTERM.

    SIGCHLD waits too, until its handler is the own one again.
    """
    if not hasattr(signal, "sigtimedwait"):  # not Linux
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _obey_only_parent(worker: int) -> None:
    """Make a worker ignore all signals except its parent's SIGTERM, and end with its parent.

    A cluster signals all processes of a job, but workers must live until the checkpoint is written. And a
    parent that is killed would leave workers behind that wait for work.
    """
    if not hasattr(signal, "sigtimedwait"):  # not Linux
        return
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        received = signal.sigtimedwait({signal.SIGTERM}, 2)
        if received is not None and received.si_pid == parent:
            break
    os._exit(0)


def _describe_dead_worker(processes: set[BaseProcess]) -> str:
    for process in processes:
        process.join(0)
        if process.exitcode is not None and process.exitcode < 0:
            name = signal.Signals(-process.exitcode).name
            return (
                f"data worker {process.pid} was killed by {name}; if memory ran out, "
                "lower train.num_workers or data.crop; go on with --resume auto"
            )
    codes = ", ".join(f"{process.pid}: {process.exitcode}" for process in processes)
    return f"a data worker exited unexpectedly (exit codes {codes}); go on with --resume auto"
