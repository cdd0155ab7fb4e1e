"""Recipes: the schema, how a YAML file is read and checked, and how it is scaled to another batch size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import yaml
from pydantic import Field, SerializeAsAny, model_validator

from paddle_restore.data.datasets import DATASETS, MAX_CROP, DatasetOptions
from paddle_restore.engine.objectives import OBJECTIVES, ObjectiveOptions
from paddle_restore.errors import UserError, did_you_mean, shortened
from paddle_restore.metrics import PROTOCOLS
from paddle_restore.options import Options, validate
from paddle_restore.recipe_files import find_recipe
from paddle_restore.yaml_file import parse_yaml, read_yaml

BASE = "_base_"
MAX_FILES = 100
MAX_BATCH, MAX_WORKERS = 65_536, 256

# ---- schema


class ModelOptions(Options):
    id: str = Field(description="one of paddle_restore.list_models()")
    args: dict[str, Any] = Field({}, description="keyword arguments of the network, e.g. {width: 8}")


Momentum = Annotated[float, Field(ge=0, lt=1)]


class OptimizerOptions(Options):
    kind: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-4, gt=0)
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0, description="L2 added to the gradient; decoupled for adamw")
    clip_norm: Optional[float] = Field(None, gt=0, description="largest global norm of the gradient")
    clip_tensor_norm: Optional[float] = Field(
        None, gt=0, description="largest norm of the gradient of each weight tensor by itself"
    )
    clip_value: Optional[float] = Field(None, gt=0, description="largest magnitude of a gradient's elements")

    @model_validator(mode="after")
    def _one_clip(self) -> OptimizerOptions:
        if sum(map(bool, (self.clip_norm, self.clip_tensor_norm, self.clip_value))) > 1:
            raise ValueError("set one of clip_norm, clip_tensor_norm and clip_value")
        return self


class ScheduleOptions(Options):
    """Learning rate over training; `by` says what milestones, warmup and steps count."""

    kind: Literal["constant", "step", "multistep", "cosine", "cosine_cycles"] = "constant"
    by: Literal["epoch", "iteration"] = "epoch"
    step: Optional[int] = Field(None, gt=0, description="step: length between two multiplications by gamma")
    milestones: tuple[int, ...] = Field((), description="multistep: multiply by gamma at each of these")
    gamma: float = Field(0.1, gt=0)
    min_lr: float = Field(0.0, ge=0, description="cosine: the learning rate at the end")
    warmup: int = Field(0, ge=0, description="length of a linear rise from 0")
    periods: tuple[int, ...] = Field((), description="cosine_cycles: length of each cycle")
    min_lrs: tuple[float, ...] = Field((), description="cosine_cycles: learning rate at the end of each")
    weights: tuple[float, ...] = Field((), description="cosine_cycles: height of each; default: 1")

    @model_validator(mode="after")
    def _complete(self) -> ScheduleOptions:
        if self.kind == "step" and self.step is None:
            raise ValueError("a step schedule needs 'step'")
        if self.kind == "multistep" and not self.milestones:
            raise ValueError("a multistep schedule needs 'milestones'")
        if self.kind == "cosine_cycles":
            if not self.periods or min(self.periods) <= 0:
                raise ValueError("a cosine_cycles schedule needs 'periods', each above 0")
            if len(self.min_lrs) != len(self.periods) or len(self.weights) not in (0, len(self.periods)):
                raise ValueError("cosine_cycles needs as many 'min_lrs' (and 'weights') as 'periods'")
            if self.warmup:
                raise ValueError("a cosine_cycles schedule has no warm-up")
        return self


class StageOptions(Options):
    """A part of progressive training: its own length, batch and crop."""

    epochs: Optional[int] = Field(
        None, gt=0, le=10**7, description="length of the stage, in epochs or in iterations"
    )
    iterations: Optional[int] = Field(None, gt=0, le=10**9)
    batch_size: int = Field(gt=0, le=MAX_BATCH)
    crop: int = Field(gt=0, le=MAX_CROP)


class EmaOptions(Options):
    decay: float = Field(
        0.999, gt=0, lt=1, description="largest decay; after n updates it is at most (1+n)/(10+n)"
    )


class MixupOptions(Options):
    beta: float = Field(1.2, gt=0, description="weights are drawn from Beta(beta, beta)")
    from_epoch: int = Field(1, gt=0, description="the first epoch that blends; epochs count from 1")
    weight_of: Literal["sample", "batch"] = Field(
        "sample", description="a weight for each sample, or one for the whole batch"
    )
    share: float = Field(
        1.0, gt=0, le=1, description="share of the batches that are blended, drawn at random"
    )


class TrainOptions(Options):
    epochs: Optional[int] = Field(None, gt=0, le=10**7, description="length, in epochs or in iterations")
    iterations: Optional[int] = Field(None, gt=0, le=10**9)
    stages: tuple[StageOptions, ...] = Field((), description="progressive training, instead of a length")
    batch_size: int = Field(1, gt=0, le=MAX_BATCH, description="samples in each process's batch")
    reference_batch: Optional[int] = Field(
        None,
        gt=0,
        description="total batch of lr and iterations, which are scaled to the actual one",
    )
    each_process: Literal["part", "all"] = Field(
        "part",
        description="samples that each process visits in an epoch: its part of them, or all of them in an "
        "order of its own",
    )
    num_workers: int = Field(0, ge=0, le=MAX_WORKERS, description="processes that read samples")
    max_unreadable: int = Field(
        10, ge=0, description="different unreadable samples that are replaced; one more stops the run"
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        "stop",
        description="if a loss or gradient is not finite: stop the run, or skip the batch, "
        "as a loss scaler (amp with float16) always does",
    )
    accumulate: int = Field(
        1, gt=0, description="parts in which each batch is computed: the same step in less memory"
    )
    ema: Optional[EmaOptions] = Field(None, description="keep a moving average of the weights")
    mixup: Optional[MixupOptions] = Field(None, description="blend the samples of a batch")
    log_every: int = Field(20, gt=0, description="iterations between two log lines")
    amp: Optional[Literal["O1", "O2"]] = Field(None, description="mixed precision, on GPU only")
    amp_dtype: Literal["float16", "bfloat16"] = "float16"

    @property
    def unit(self) -> str:
        """What `save.every` and `eval.every` count."""
        return "epoch" if (self.stages[0] if self.stages else self).epochs else "iteration"


class SaveOptions(Options):
    every: Optional[float] = Field(
        None, gt=0, description="epochs (or iterations) between checkpoints in latest/; default: 1 (or 1000)"
    )
    keep_every: Optional[float] = Field(None, gt=0, description="epochs (or iterations) between iter_N/")
    keep_at: tuple[int, ...] = Field((), description="also write iter_N/ at these iterations")
    keep_last: Optional[int] = Field(None, gt=0, description="how many of the newest iter_N/ stay")
    pictures_every: Optional[float] = Field(
        None,
        gt=0,
        description="epochs (or iterations) between batches whose targets and outputs go to pictures/",
    )
    on_error: Literal["continue", "stop"] = Field(
        "continue",
        description="if a checkpoint cannot be written (full disk): train on until the next, or stop",
    )


class EvalOptions(Options):
    every: Optional[float] = Field(
        None, gt=0, description="epochs (or iterations) between two; default: at the end"
    )
    at: tuple[int, ...] = Field((), description="also at these iterations")
    metrics: tuple[str, ...] = Field(("psnr", "ssim_rgb_matlab"), min_length=1)
    best: Optional[str] = Field(None, description="metric that chooses best_model/; default: the first")
    ema: bool = Field(False, description="measure the averaged weights (train.ema) instead of the last ones")
    border: int = Field(
        0,
        ge=0,
        description="pixels at each side that evaluations during training leave out; tools/eval.py measures "
        "whole pictures",
    )
    pictures: int = Field(2, ge=0, description="pictures in the VisualDL log from each evaluation")

    @model_validator(mode="after")
    def _known(self) -> EvalOptions:
        for name in (*self.metrics, *filter(None, [self.best])):
            if name not in PROTOCOLS:
                raise ValueError(f"unknown metric protocol {name!r}{did_you_mean(name, PROTOCOLS)}")
        if self.best and self.best not in self.metrics:
            raise ValueError(f"best: {self.best!r} is not among metrics")
        return self

    @property
    def best_metric(self) -> str:
        return self.best or self.metrics[0]


class Config(Options):
    """A whole recipe."""

    name: str = Field(description="names the run; the default output folder is output/NAME")
    seed: int = Field(0, ge=0, lt=2**63, description="everything random follows from it")
    pretrained: Optional[Path] = Field(
        None, description="weights to start from, ours or a published checkpoint"
    )
    pretrained_partial: bool = Field(False, description="load what fits of it, and log what does not")
    model: ModelOptions
    data: SerializeAsAny[DatasetOptions]
    objective: SerializeAsAny[ObjectiveOptions]
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    train: TrainOptions
    save: SaveOptions = SaveOptions()
    eval: EvalOptions = EvalOptions()

    @model_validator(mode="after")
    def _one_length(self) -> Config:
        train = self.train
        if train.stages and (train.epochs or train.iterations):
            raise ValueError("train: stages say how long to train; drop epochs and iterations")
        if train.stages and train.reference_batch:
            raise ValueError("train: reference_batch does not go with stages, which change the batch")
        for part in train.stages or (train,):
            if (getattr(part, train.unit + "s") is None) or (part.epochs and part.iterations):
                raise ValueError("train: set either epochs or iterations, the same in every stage")
            if part.batch_size % train.accumulate:
                raise ValueError(
                    f"train.accumulate: {train.accumulate} parts of a batch of {part.batch_size}"
                )
        if self.eval.ema and not train.ema:
            raise ValueError("eval.ema needs train.ema, such as {decay: 0.999}")
        return self

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# ---- files


def load_config(path: Union[str, Path], overrides: tuple[str, ...] = ()) -> Config:
    """Read a recipe, by its path or its name (`list_recipes`), and apply `-o key.path=value`.

    Raises UserError for the first mistake.
    """
    path = find_recipe(path)
    values = _Reader().read(path)
    for override in overrides:
        _apply_override(values, override)
    for section, kinds in (("data", DATASETS), ("objective", OBJECTIVES)):
        values[section] = _check_kind(values.get(section), kinds, path, section)
    return validate(Config, values, path)


def _check_kind(values: Any, kinds: Mapping[str, Any], path: Path, section: str) -> Options:
    """Check a section whose keys depend on its `kind`."""
    if not isinstance(values, dict) or "kind" not in values:
        raise UserError(f"{path}: key '{section}.kind' is missing; choose from: {', '.join(sorted(kinds))}")
    kind = values["kind"]
    if not isinstance(kind, str) or kind not in kinds:
        hint = did_you_mean(shortened(kind), kinds)
        raise UserError(f"{path}: {section}.kind: unknown kind {shortened(kind)}{hint}")
    return validate(kinds[kind].options, values, path, section)


class _Reader:
    """Reads a recipe and its bases, at most `MAX_FILES` files: bases that name several files multiply."""

    def __init__(self) -> None:
        self.files = 0

    def read(self, path: Path, opened: tuple[Path, ...] = ()) -> dict[str, Any]:
        """Return a file's keys, merged over those of its bases. Raises UserError that names the file."""
        if path.resolve() in opened:
            raise UserError(f"{path}: {BASE} leads back to the file itself")
        self.files += 1
        if self.files > MAX_FILES:
            raise UserError(f"{path}: {BASE} leads to more than {MAX_FILES} files")
        try:
            values = read_yaml(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such recipe") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
        if not isinstance(values, dict):
            raise UserError(f"{path}: a recipe is a mapping of keys to values")
        bases = values.pop(BASE, [])
        bases = [bases] if isinstance(bases, str) else bases
        if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
            raise UserError(f"{path}: {BASE} is a file or a list of files, not {shortened(bases)}")
        merged: dict[str, Any] = {}
        for base in bases:
            merged = _merge(merged, self.read(path.parent / base, (*opened, path.resolve())))
        return _merge(merged, values)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings; a section of another `kind` (or model `id`) replaces the base's whole."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            other = any(k in value and k in old and value[k] != old[k] for k in ("kind", "id"))
            value = value if other else _merge(old, value)
        merged[key] = value
    return merged


def _apply_override(values: dict[str, Any], override: str) -> None:
    """Set a key in place as `-o key.path=value` says; the value is YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"-o {override}: expected key.path=value")
    try:
        value = parse_yaml(text, "")
    except UserError:
        value = text
    *parents, last = key.split(".")
    for part in parents:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise UserError(f"-o {override}: {part!r} is a value, not a section")
    # Choosing another model or kind drops the arguments of the old one.
    if last in ("id", "kind") and values.get(last, value) != value:
        values.clear()
    values[last] = value


# ---- batch size


def scale_to_batch(config: Config, world: int) -> tuple[Config, str]:
    """Scale learning rates and iterations to the total batch, where `train.reference_batch` asks for it.

    Returns the scaled recipe, and a log line about the changes ("" if there are none). The linear scaling
    rule (Goyal et al., "Accurate, Large Minibatch SGD", 2017): batch x iterations stays constant, and the
    learning rate is proportional to the total batch.
    """
    train, schedule = config.train, config.schedule
    total = train.batch_size * world
    if train.reference_batch is None or train.reference_batch == total:
        return config, ""
    reference = train.reference_batch
    factor = total / reference
    # The returned recipe, which the run folder keeps, is made for this batch.
    train = train.model_copy(update={"reference_batch": total})
    optimizer = config.optimizer.model_copy(update={"lr": config.optimizer.lr * factor})
    changes = [f"lr {config.optimizer.lr:g} -> {optimizer.lr:g}"]
    if train.iterations:
        iterations = max(1, round(train.iterations / factor))
        changes.append(f"iterations {train.iterations} -> {iterations}")
        train = train.model_copy(update={"iterations": iterations})
    scaled: dict[str, Any] = {
        "min_lr": schedule.min_lr * factor,
        "min_lrs": tuple(min_lr * factor for min_lr in schedule.min_lrs),
    }
    if schedule.by == "iteration":
        scaled |= {
            "milestones": tuple(round(milestone / factor) for milestone in schedule.milestones),
            "warmup": round(schedule.warmup / factor),
            "step": schedule.step and max(1, round(schedule.step / factor)),
            "periods": tuple(max(1, round(period / factor)) for period in schedule.periods),
        }
    schedule = schedule.model_copy(update=scaled)
    config = config.model_copy(update={"train": train, "optimizer": optimizer, "schedule": schedule})
    return config, f"total batch {total} for {reference}: {', '.join(changes)}"
