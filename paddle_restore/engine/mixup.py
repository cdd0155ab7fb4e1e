"""Mix-up: every sample of a batch blended with another one (Zhang et al., ICLR 2018).

MIRNet and MIRNetV2 blend inputs and targets alike, with a weight of its own for each sample,
drawn from Beta(1.2, 1.2), after some epochs without.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import paddle
from pydantic import Field

from paddle_restore.options import Options

PICTURES = ("input", "target", "lq")


class MixupOptions(Options):
    beta: float = Field(1.2, gt=0, description="weights are drawn from Beta(beta, beta)")
    from_epoch: int = Field(1, gt=0, description="the first epoch that blends; epochs count from 1")


def mixup(
    batch: dict[str, Any], options: Optional[MixupOptions], epoch: int, position: tuple[int, int, int]
) -> dict[str, Any]:
    """Return the batch with input, target and lq blended; the rest is as it was, noise too.

    `epoch` counts from 1; before `options.from_epoch`, or without options, nothing is blended.
    What is blended follows from `position` (seed, iteration, rank) alone, so a resumed run blends
    as the straight one. Each process blends among its own samples, as the reproduction does: two
    processes with half the batch each therefore see other blends than one with the joint batch.
    """
    if options is None or epoch < options.from_epoch:
        return batch
    # The fourth number keeps these apart from the samples' generators, (seed, epoch, index).
    rng = np.random.default_rng([*position, 1])
    count = len(batch["name"])
    partners = paddle.to_tensor(rng.permutation(count))
    own = rng.beta(options.beta, options.beta, (count, 1, 1, 1))
    weights = paddle.to_tensor(own.astype(np.float32))

    def blend(pictures: Any) -> Any:
        return weights * pictures + (1 - weights) * pictures.index_select(partners)

    return {key: blend(value) if key in PICTURES else value for key, value in batch.items()}
