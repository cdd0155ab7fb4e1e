"""Samples -> batches of Paddle tensors.

Every random choice follows from (seed, epoch, index) alone: neither the number of workers or
processes nor the iteration at which a run resumes changes what a sample looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import paddle

from paddle_restore.errors import UserError

_ERROR = "error"


class TrainDataset(Protocol):
    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Order:
    """Which samples each process takes at each iteration: a pure function of the seed."""

    samples: int
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    first_epoch: int = 0

    @property
    def iterations(self) -> int:
        """Iterations of an epoch; the last batch is filled up from the epoch's beginning."""
        return -(-self.samples // (self.batch_size * self.world))

    def batch(self, iteration: int) -> list[tuple[int, int]]:
        """(epoch, index) of this process's samples; iterations count from 0."""
        epochs, step = divmod(iteration, self.iterations)
        epoch = self.first_epoch + epochs
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
        # Process r takes the r-th part of the joint batch, so that two processes with half
        # the batch each see what one process sees.
        first = (step * self.world + self.rank) * self.batch_size
        return [(epoch, int(shuffled[i % self.samples])) for i in range(first, first + self.batch_size)]


class _Samples(paddle.io.Dataset):
    def __init__(self, dataset: TrainDataset, seed: int, latent: Any):
        self.dataset, self.seed, self.latent = dataset, seed, latent

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        try:
            sample = self.dataset.sample(index, rng)
        except UserError as error:
            return str(error)  # a worker's exception would reach the user as a page of traceback
        if self.latent:
            sides = [size // self.latent.stride for size in sample["input"].shape[1:]]
            sample["noise"] = rng.standard_normal((self.latent.channels, *sides), np.float32)
        return sample


class _Batches(paddle.io.BatchSampler):
    def __init__(self, order: Order, first: int, last: int):
        # The parent's constructor wants a dataset to shuffle; the order is ours.
        self.order, self.first, self.last = order, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.order.batch(iteration) for iteration in range(self.first, self.last))


def _collate(samples: list) -> dict[str, Any]:
    for sample in samples:
        if isinstance(sample, str):
            return {_ERROR: sample}
    columns = {key: [sample[key] for sample in samples] for key in samples[0]}
    return {k: column if isinstance(column[0], str) else np.stack(column) for k, column in columns.items()}


def batches(
    dataset: TrainDataset, order: Order, first: int, last: int, workers: int = 0, latent: Any = None
) -> Iterator[dict[str, Any]]:
    """Yield the batches of iterations first ... last-1: each a dict of stacked tensors and lists.

    One set of worker processes serves all of them, across epochs. Raises UserError for a sample
    that cannot be read. A network's `latent` adds `noise`, standard normal, drawn with the sample
    and not by the network, so that it too is the same however many processes there are.
    """
    samples, keys = _Samples(dataset, order.seed, latent), _Batches(order, first, last)
    if workers:
        stream: Any = paddle.io.DataLoader(
            samples, batch_sampler=keys, num_workers=workers, collate_fn=_collate, return_list=True
        )
    else:
        # Paddle's loader in one process reads in a thread, and hangs if a sample raises.
        stream = (_collate([samples[key] for key in batch]) for batch in keys)
    for batch in stream:
        if _ERROR in batch:
            raise UserError(batch[_ERROR])
        yield {k: v if isinstance(v, list) else paddle.to_tensor(v) for k, v in batch.items()}
