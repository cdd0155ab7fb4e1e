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
    def __init__(self, dataset: TrainDataset, seed: int):
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        return self.dataset.sample(index, np.random.default_rng([self.seed, epoch, index]))


class _Batches(paddle.io.BatchSampler):
    def __init__(self, order: Order, first: int, last: int):
        # The parent's constructor wants a dataset to shuffle; the order is ours.
        self.order, self.first, self.last = order, first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.order.batch(iteration) for iteration in range(self.first, self.last))


def batches(
    dataset: TrainDataset, order: Order, first: int, last: int, workers: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield the batches of iterations first ... last-1: each a dict of stacked tensors and lists.

    One set of worker processes serves all of them, across epochs.
    """
    loader = paddle.io.DataLoader(
        _Samples(dataset, order.seed),
        batch_sampler=_Batches(order, first, last),
        num_workers=workers,
        return_list=True,
    )
    yield from loader
