"""The course of a training: stages, iterations and epochs, from the recipe and the number of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from paddle_restore.data.batches import Order
from paddle_restore.engine.config import Config
from paddle_restore.errors import UserError


@dataclass(frozen=True)
class Stage:
    """Iterations first ... last-1, all with the same batch and crop."""

    first: int
    last: int
    order: Order
    crop: Optional[int]


class Plan:
    """What happens at which iteration; iterations count from 0 over the whole training."""

    def __init__(self, config: Config, samples: int, rank: int = 0, world: int = 1):
        train = config.train
        self.unit, self.rank, self.world = train.unit, rank, world
        self.stages: list[Stage] = []
        first = epoch = 0
        for part in train.stages or (train,):
            order = Order(samples, part.batch_size, config.seed, rank, world, first_epoch=epoch)
            length = part.epochs * order.iterations if part.epochs else part.iterations
            self.stages.append(Stage(first, first + length, order, getattr(part, "crop", None)))
            first += length
            epoch += -(-length // order.iterations)
        self.iterations = first
        self.epochs = epoch
        # Numbers of finished iterations at which to write latest/, to keep iter_N/ and to evaluate.
        save = config.save
        self.keep_points = self.due(save.keep_every, save.keep_at, last=False)
        # Where one is kept latest/ is written too: it is the newest checkpoint, from which a run goes on.
        self.save_points = self.due(save.every or (1 if self.unit == "epoch" else 1000)) | self.keep_points
        self.eval_points = self.due(config.eval.every, config.eval.at)

    def stage_at(self, iteration: int) -> Stage:
        return next(stage for stage in self.stages if iteration < stage.last)

    def epoch_at(self, iteration: int) -> int:
        """The epoch, from 0, that `iteration` belongs to."""
        stage = self.stage_at(min(iteration, self.iterations - 1))
        return stage.order.first_epoch + (iteration - stage.first) // stage.order.iterations

    def iteration_of(self, position: float) -> int:
        """Iterations done after so many epochs (a fraction counts), or after so many iterations."""
        if self.unit == "iteration":
            return round(position)
        for stage in self.stages:
            after = (position - stage.order.first_epoch) * stage.order.iterations
            if stage.first + after <= stage.last:
                return stage.first + max(1, round(after))
        return self.iterations

    def due(self, every: Optional[float], at: tuple[int, ...] = (), last: bool = True) -> set[int]:
        """Numbers of finished iterations at which something is due that comes every so often."""
        points = {point for point in at if point <= self.iterations}
        if every:
            length = self.epochs if self.unit == "epoch" else self.iterations
            if length / every > 1e6:
                raise UserError(f"every {every:g} of {length} {self.unit}s is too often; use a larger number")
            points |= {self.iteration_of(step * every) for step in range(1, int(length / every + 1e-9) + 1)}
        return points | ({self.iterations} if last else set())
