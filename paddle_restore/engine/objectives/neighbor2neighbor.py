"""Training without clean pictures.

Source: Huang, Li, Jia, Lu, Liu, "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images",
CVPR 2021. Two sub-images are drawn from each noisy picture: of every cell of 2x2 pixels each takes one,
and the two are neighbours. Where the noise of neighbours is independent, one sub-image is a noisy target for
the other, and the mean of noisy targets is the clean picture (Eq. 6). The two show slightly different
places; the regulariser takes off the difference that the restored whole picture has there (Eq. 8).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import paddle
from pydantic import Field

from paddle_restore.engine.objectives import OBJECTIVES, Losses, ObjectiveKind, ObjectiveOptions
from paddle_restore.errors import UserError

# The cell's pixels are numbered 0 1 / 2 3; each pair are neighbours, in both orders.
_PAIRS = np.array([(0, 1), (1, 0), (2, 3), (3, 2), (0, 2), (2, 0), (1, 3), (3, 1)])


class Neighbor2NeighborOptions(ObjectiveOptions):
    """Learn from noisy pictures alone (Huang et al., CVPR 2021)."""

    kind: Literal["neighbor2neighbor"] = "neighbor2neighbor"
    regulariser: float = Field(2.0, ge=0, description="weight of the second term, the paper's gamma")
    spacing: int = Field(
        1,
        gt=0,
        le=4,
        description="pixels from one to its neighbour: 2 where noise is correlated, as in developed pictures",
    )


class Neighbor2Neighbor:
    """Both terms on `input` alone; its height and width are multiples of 2 * spacing * spec.multiple."""

    def __init__(self, options: Neighbor2NeighborOptions):
        self.regulariser, self.spacing = options.regulariser, options.spacing

    def __call__(self, model: paddle.nn.Layer, batch: dict[str, Any]) -> Losses:
        noisy = batch["input"]
        spec = model.spec
        if spec.raw or spec.scale != 1:
            raise UserError(f"objective.kind: neighbor2neighbor trains networks for pictures, not {spec.id}")
        unit = 2 * self.spacing * spec.multiple
        if any(side % unit for side in noisy.shape[2:]):
            raise UserError(f"data.crop: neighbor2neighbor needs a multiple of {unit} for {spec.id}")
        with paddle.no_grad():
            whole = model(noisy)
        choice = draw_neighbours(noisy, self.spacing)
        first, second = sub_images(noisy, choice, self.spacing)
        clean_first, clean_second = sub_images(whole, choice, self.spacing)
        residual = model(first) - second
        reconstruction = residual.square().mean()
        consistency = (residual - (clean_first - clean_second)).square().mean()
        loss = reconstruction + self.regulariser * consistency
        return {"reconstruction": reconstruction, "consistency": consistency, "loss": loss}


def draw_neighbours(picture: paddle.Tensor, spacing: int) -> paddle.Tensor:
    """Draw which two pixels each cell gives: (N, 1, cells, 2) as numbers of `sub_images`."""
    n, _, h, w = picture.shape
    drawn = paddle.randint(0, len(_PAIRS), [n * (h // (2 * spacing)) * (w // (2 * spacing)) * spacing**2])
    return paddle.to_tensor(_PAIRS)[drawn].reshape([n, 1, -1, 2])


def sub_images(
    picture: paddle.Tensor, choice: paddle.Tensor, spacing: int
) -> tuple[paddle.Tensor, paddle.Tensor]:
    """(N, C, H, W) -> two of (N, C, H/2, W/2), of neighbours `spacing` pixels apart.

    With a spacing of s the picture is s x s interleaved ones, whose cells are drawn from apart and laid
    side by side.
    """
    n, c, h, w = picture.shape
    rows, columns, s = h // (2 * spacing), w // (2 * spacing), spacing
    # (N, C, row of cells, pixel of cell, phase, ...) -> the four pixels of every cell in the last axis.
    cells = picture.reshape([n, c, rows, 2, s, columns, 2, s]).transpose([0, 1, 4, 2, 7, 5, 3, 6])
    cells = cells.reshape([n, c, -1, 4])
    parts = []
    for index in range(2):
        mask = paddle.nn.functional.one_hot(choice[..., index], 4).astype(cells.dtype)
        parts.append((cells * mask).sum(axis=-1).reshape([n, c, rows * s, columns * s]))
    return parts[0], parts[1]


OBJECTIVES.add("neighbor2neighbor", ObjectiveKind(Neighbor2NeighborOptions, Neighbor2Neighbor))
