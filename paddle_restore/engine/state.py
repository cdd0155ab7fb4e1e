"""The state of a run: its progress that cannot be derived from the iteration number."""

from __future__ import annotations

from typing import Any, Optional

from pydantic import BaseModel, Field, model_validator


class Best(BaseModel):
    """The evaluation that best_model/ was chosen by."""

    score: float
    metric: str
    iteration: int


class NonFinite(BaseModel):
    """Batches that were left out because a loss or gradient was not finite."""

    count: int = 0
    in_a_row: int = 0


class LossSums(BaseModel):
    """Sums of the losses since the last log line."""

    count: int = 0
    losses: dict[str, float] = {}


class RunState(BaseModel):
    """One object for the whole training, which state.json of a checkpoint holds.

    Checkpoints of older versions have only `iteration` and `best`.
    """

    iteration: int = Field(ge=0, description="iterations done")
    best: Optional[Best] = Field(description="what best_model/ holds; None while there is none")
    epoch: int = Field(0, description="epoch of the last iteration, from 1")
    joint_batch: Optional[int] = Field(None, description="samples of the last iteration on all processes")
    processes: Optional[int] = Field(None, description="number of processes of the last iteration")
    samples: dict[str, int] = Field({}, description="sizes of the training and evaluation data")
    evaluated: int = Field(description="the last iteration whose evaluation, if any was due, is finished")
    meter: LossSums = LossSums()
    unreadable: dict[str, int] = Field({}, description="replaced samples: error line -> how often")
    nonfinite: NonFinite = NonFinite()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {"evaluated": values.get("iteration"), **values}
        return values
