"""Recipe -> everything that a training works with, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import paddle

from paddle_restore.data.batches import Samples, collate, to_tensors
from paddle_restore.data.datasets import DATASETS
from paddle_restore.engine import distributed
from paddle_restore.engine.checkpoint import AVERAGE, State, load_checkpoint
from paddle_restore.engine.config import Config
from paddle_restore.engine.folder import changes_since
from paddle_restore.engine.plan import Plan
from paddle_restore.engine.scaling import scale_to_batch
from paddle_restore.engine.step import Step
from paddle_restore.errors import UserError
from paddle_restore.models import create_model
from paddle_restore.weights import load_weights


@dataclass
class Job:
    """What `build` makes. `config` is scaled to the total batch; `notes` are lines for the log."""

    config: Config
    step: Step
    plan: Plan
    datasets: TrainDatasets
    eval_set: Any
    state: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def introduction(self) -> str:
        config, plan = self.config, self.plan
        stages = "; ".join(
            f"batch {stage.order.batch_size}" + (f" crop {stage.crop}" if stage.crop else "")
            for stage in plan.stages
        )
        return (
            f"{config.name}: {config.model.id}, {sum(p.size for p in self.step.model.parameters()):,} "
            f"parameters, {plan.epochs} epochs, {plan.iterations} iterations, {stages}, "
            f"{len(self.eval_set)} pictures to evaluate, {paddle.get_device()}, {plan.world} process(es), "
            f"seed {config.seed}"
        )


class TrainDatasets(dict):
    """Training datasets by crop, made when a stage needs them."""

    def __init__(self, config: Config, spec: Any):
        super().__init__()
        self.config, self.spec = config, spec

    def __missing__(self, crop: Optional[int]) -> Any:
        data = self.config.data
        self[crop] = DATASETS[data.kind].train(data, self.spec, crop=crop)
        return self[crop]


def build(config: Config, resume: Optional[Path] = None) -> Job:
    """Raises UserError for all that a recipe, or a checkpoint to `resume` from, can get wrong."""
    # ---- processes
    rank, world = distributed.init()
    config, scaling = scale_to_batch(config, world)
    notes = [scaling] if scaling else []

    # ---- network
    paddle.seed(config.seed)
    model = create_model(config.model.id, **config.model.args)
    if config.pretrained:
        skipped = load_weights(model, config.pretrained, config.pretrained_partial)
        if not resume:
            notes += [f"starts from {config.pretrained}, {len(skipped)} arrays skipped", *skipped]

    # ---- data
    # The largest crop of all stages: pictures too small for the last one must not wait until then.
    crop = max((stage.crop for stage in config.train.stages), default=None)
    datasets = TrainDatasets(config, model.spec)
    first = Samples(datasets[crop], config.seed, most=config.train.max_unreadable)[(0, 0)]
    to_tensors(collate([first]))
    _check_crops(config, model.spec)
    eval_set = DATASETS[config.data.kind].eval(config.data, model.spec)
    plan = Plan(config, len(datasets[crop]), rank, world)

    # ---- optimiser, and what a checkpoint has of all these; everything random follows from the seed
    # and the position, so there is no generator to restore.
    step = Step(config, model, world)
    state = State(iteration=0, evaluated=0, best=None).model_dump()
    if resume:
        changed = changes_since(resume, config)
        state = load_checkpoint(resume, step)
        notes.append(f"resumed from {resume} after iteration {state['iteration']} of {plan.iterations}")
        notes += [f"the recipe has changed: {line}" for line in changed]
        if step.ema and not (resume / AVERAGE).is_file():
            notes.append(f"{resume / AVERAGE} is not there: the average begins with the weights")
        notes += _batch_change(state, plan, resume)
    _check_same_start(state["iteration"], world)
    state["processes"] = world
    distributed.broadcast_parameters(step.model, world)
    return Job(config, step, plan, datasets, eval_set, state, notes)


def _batch_change(state: dict[str, Any], plan: Plan, checkpoint: Path) -> list[str]:
    """What another number of processes changes: a line, if anything. `state` is the checkpoint's.

    Raises UserError where iterations have become so few that the run would be past its end.
    """
    done, before = state["iteration"], state["joint_batch"]
    each = plan.stage_at(min(max(done, 1), plan.iterations) - 1).order.batch_size
    now, processes = each * plan.world, state["processes"]
    if before is None or (before, processes) == (now, plan.world):
        return []
    line = f"processes: {processes} -> {plan.world}, {each} samples each, joint batch: {before} -> {now}"
    if before == now:
        return [f"{line}: nothing else changes"]
    if done > plan.iterations:
        raise UserError(
            f"{checkpoint}: {line}: after iteration {done} of now {plan.iterations} the run would be past "
            "its end; set train.batch_size so that the joint batch stays"
        )
    epoch = plan.epoch_at(max(done, 1) - 1) + 1
    return [
        f"{line}: iteration {done} was in epoch {state['epoch']}, is now in epoch {epoch} of {plan.epochs}"
    ]


def _check_same_start(iteration: int, world: int) -> None:
    starts = distributed.gather([iteration], world)
    if len(set(starts)) > 1:
        raise UserError(
            f"the processes found checkpoints of different iterations ({', '.join(map(str, starts))}); "
            "the run folder must lie on a disk that all machines share"
        )


def _check_crops(config: Config, spec: Any) -> None:
    for crop in [config.data.crop] + [stage.crop for stage in config.train.stages]:
        if crop % spec.multiple:
            raise UserError(f"data.crop: {spec.id} needs a multiple of {spec.multiple}, not {crop}")
