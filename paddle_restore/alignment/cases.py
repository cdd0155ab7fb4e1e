"""Which golden values a network must reproduce, and with what: the table behind `align`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from paddle_restore.models import list_models


@dataclass(frozen=True)
class Case:
    """What the authors' numbers of one network were made with.

    golden     its name in models.json (or tf_models.json), and of NAME.npz
    tag        its input and target are procedural_input("TAG/input", …) and ("TAG/gt", …)
    data       the preparation of its input, a key of `data.PREPARATIONS`
    protocols  those that its published numbers are measured by
    args       the size that the golden values have, for `create_model`
    objective  as in a recipe; None where the golden values end at the output
    clip_norm  as in a recipe's optimizer section
    """

    golden: str
    tag: str
    data: str
    protocols: tuple[str, ...]
    args: dict[str, Any] = field(default_factory=dict)
    objective: Optional[dict[str, Any]] = None
    clip_norm: Optional[float] = None


_SID = ("psnr", "ssim_rgb_matlab")
_SIDD = ("psnr", "ssim_y_matlab")
_L1 = {"kind": "supervised", "losses": {"l1": 1.0}}
_CHARBONNIER = {"kind": "supervised", "losses": {"charbonnier_clipped": 1.0}}
_BOTH_WAYS = {"kind": "invertible", "forward": {"l2_sum": 16.0}, "backward": {"l1_sum": 1.0}}

CASES: dict[str, Case] = {
    "sid_unet": Case("sid_sony", "sid_sony", "bayer", _SID, objective=_L1),
    "sid_unet_xtrans": Case("sid_tf_fuji", "sid_tf_fuji", "xtrans", _SID),
    "lamba": Case("lamba", "lamba", "amplifier", ("psnr", "ssim_skimage_uint8"), objective=_L1),
    "mirnet": Case(
        "mirnet_small", "mirnet", "pictures", _SIDD, {"n_rrg": 1, "n_msrb": 1}, objective=_CHARBONNIER
    ),
    "mirnet_v2": Case("mirnetv2_80", "mirnetv2", "pictures", _SIDD, objective=_CHARBONNIER),
    "mirnet_v2_small": Case("mirnetv2_64", "mirnetv2", "pictures", _SIDD, objective=_CHARBONNIER),
    "invdn": Case("invdn", "invdn", "imresize", _SIDD, objective=_BOTH_WAYS, clip_norm=10),
}
"""By the network's id."""


def aligned_models() -> list[str]:
    """Return the ids of the registered networks that golden values exist for, in the table's order."""
    return [id for id in CASES if id in list_models()]
