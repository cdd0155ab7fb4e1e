"""Mix-up: every sample of a batch blended with another one (Zhang et al., ICLR 2018).

MIRNet and MIRNetV2 blend inputs and targets alike, with a weight of its own for each sample,
drawn from Beta(1.2, 1.2), after some epochs without.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import paddle
from pydantic import Field

from paddle_restore.engine import distributed
from paddle_restore.options import Options

PICTURES = ("input", "target", "lq")


class MixupOptions(Options):
    beta: float = Field(1.2, gt=0, description="weights are drawn from Beta(beta, beta)")
    from_epoch: int = Field(1, gt=0, description="the first epoch that blends; epochs count from 1")


def mixup(
    batch: dict[str, Any],
    options: Optional[MixupOptions],
    epoch: int,
    position: tuple[int, int],
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any]:
    """Return the batch with input, target and lq blended; the rest is as it was, noise too.

    `epoch` counts from 1; before `options.from_epoch`, or without options, nothing is blended.
    What is blended follows from `position` (seed, iteration) alone, so a resumed run blends as the
    straight one. A sample's partner is any one of the joint batch: `world` processes with a part each
    blend as one process with all of it. (The reproduction blends within each process.)
    """
    if options is None or epoch < options.from_epoch:
        return batch
    # The last numbers keep these apart from the samples' generators, (seed, epoch, index).
    rng = np.random.default_rng([*position, 0, 1])
    count = len(batch["name"])
    own = slice(rank * count, (rank + 1) * count)
    partners = paddle.to_tensor(rng.permutation(count * world)[own])
    drawn = rng.beta(options.beta, options.beta, (count * world, 1, 1, 1))[own]
    weights = paddle.to_tensor(drawn.astype(np.float32))

    def blend(pictures: Any) -> Any:
        joint = distributed.joint_batch(pictures, world)
        return weights * pictures + (1 - weights) * joint.index_select(partners)

    return {key: blend(value) if key in PICTURES else value for key, value in batch.items()}
