"""Options of raw input, which a recipe's data and an exported folder's preprocessing share."""

from __future__ import annotations

from typing import Annotated, Literal, Optional

from pydantic import Field

from paddle_restore.options import Options

Multipliers = tuple[
    Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
]


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
    white_balance: Optional[Multipliers] = Field(
        None,
        description="multipliers of R, G, B under which grey is grey for the network; raw files of other "
        "cameras are brought to it when they are restored",
    )
    daylight: Optional[Multipliers] = Field(
        None,
        description="the training camera's multipliers under daylight, as LibRaw has them; its own files are "
        "left as they are",
    )
    amplifier_m: Literal[1, 5, 8] = Field(1, description="factor m of an estimated ratio")
    amplifier_limited: Literal["product", "estimate"] = Field(
        "product",
        description="what is limited to 300: the estimate times m, as Lamba's authors do in training, or the "
        "estimate alone, as in their demo",
    )
