"""Options of raw input, which a recipe's data and an exported folder's preprocessing share."""

from __future__ import annotations

from typing import Literal, Optional

from pydantic import Field

from paddle_restore.options import Options


class RawOptions(Options):
    """How a raw file becomes a network's input: normalised between its levels, then amplified."""

    black_level: Optional[float] = Field(None, description="replaces the value of the raw files")
    white_level: Optional[float] = Field(None, description="replaces the value of the raw files")
    ratio: Literal["known", "auto"] = Field(
        "known",
        description="amplification: long over short exposure time where both are known, or always estimated "
        "from the dark frame",
    )
    max_ratio: float = Field(300.0, gt=0, description="largest amplification by exposure times")
    amplifier_m: Literal[1, 5, 8] = Field(1, description="factor m of an estimated ratio")
    amplifier_limited: Literal["product", "estimate"] = Field(
        "product",
        description="what is limited to 300: the estimate times m, as Lamba's authors do in training, or the "
        "estimate alone, as in their demo",
    )
