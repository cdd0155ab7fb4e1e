"""The linear scaling rule: another total batch, the same number of samples seen.

Goyal et al., "Accurate, Large Minibatch SGD", 2017; as InvDN's Paddle reproduction states it: batch x
iterations stays constant, and the learning rate is proportional to the total batch.
"""

from __future__ import annotations

from typing import Any

from paddle_restore.engine.config import Config


def scale_to_batch(config: Config, world: int) -> tuple[Config, str]:
    """Fit learning rates, and what counts iterations, to the total batch if `train.reference_batch` asks.

    Returns the recipe to train by, and a line that says what was changed ("" for nothing).
    """
    train, schedule = config.train, config.schedule
    total = train.batch_size * world
    if train.reference_batch in (None, total):
        return config, ""
    factor = total / train.reference_batch
    # The recipe that is returned, and written into the run folder, is made for this batch.
    train = train.model_copy(update={"reference_batch": total})
    optimizer = config.optimizer.model_copy(update={"lr": config.optimizer.lr * factor})
    said = [f"lr {config.optimizer.lr:g} -> {optimizer.lr:g}"]
    if train.iterations:
        iterations = max(1, round(train.iterations / factor))
        said.append(f"iterations {train.iterations} -> {iterations}")
        train = train.model_copy(update={"iterations": iterations})
    changes: dict[str, Any] = {
        "min_lr": schedule.min_lr * factor,
        "min_lrs": tuple(least * factor for least in schedule.min_lrs),
    }
    if schedule.by == "iteration":
        changes |= {
            "milestones": tuple(round(milestone / factor) for milestone in schedule.milestones),
            "warmup": round(schedule.warmup / factor),
            "step": schedule.step and max(1, round(schedule.step / factor)),
            "periods": tuple(max(1, round(period / factor)) for period in schedule.periods),
        }
    schedule = schedule.model_copy(update=changes)
    scaled = config.model_copy(update={"train": train, "optimizer": optimizer, "schedule": schedule})
    return scaled, f"total batch {total} for {config.train.reference_batch}: {', '.join(said)}"
