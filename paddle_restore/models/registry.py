"""The registered networks: `create_model`, `list_models`, and what is known of each.

A network is one module that registers a function under the function's name:

    @register(input="srgb", scale=1, multiple=1, halo=2, ..., small={"width": 4})
    def my_network(width: int = 32) -> nn.Layer:
        return MyNetwork(width)

Modules of this folder are found, and so are those that another package names as entry points of the group
`paddle_restore.models` (docs/networks.md). They are imported when a network is first asked for: running an
exported model never loads the code that defined it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from paddle_restore.errors import UserError, did_you_mean, line_of, shortened
from paddle_restore.models.published import ForeignNames, Golden, TrainingCamera
from paddle_restore.models.spec import ModelSpec
from paddle_restore.registry import Registry

if TYPE_CHECKING:  # an exported model needs specs only, and Paddle takes seconds to import
    from paddle import nn

Factory = TypeVar("Factory", bound="Callable[..., nn.Layer]")


@dataclass(frozen=True)
class RegisteredModel:
    """A network as `register` got it."""

    factory: Callable[..., nn.Layer]
    spec: ModelSpec
    small: Mapping[str, Any]
    foreign: Optional[ForeignNames]
    golden: Optional[Golden]
    camera: Optional[TrainingCamera]
    fading: bool


MAX_WIDTH, MAX_ARGUMENT, MAX_LIST = 512, 8192, 64
"""Limits of a network's arguments, which may come from a file that somebody else wrote."""

MODELS: Registry[RegisteredModel] = Registry("model", "paddle_restore.models")


def register(
    *,
    small: Optional[Mapping[str, Any]] = None,
    foreign: Optional[ForeignNames] = None,
    golden: Optional[Golden] = None,
    camera: Optional[TrainingCamera] = None,
    fading: bool = False,
    **spec: Any,
) -> Callable[[Factory], Factory]:
    """Register a factory under its own name.

    small    arguments for a small size with the layers and the reach of the published one, for tests
    foreign  names of the parameters in published checkpoints
    golden   golden values that `align` compares the network with
    camera   of the raw files that the published weights were trained on
    fading   the halo is shorter than the receptive field: beyond it, influence is below float32 rounding
    spec     the fields of ModelSpec but `id`

    Raises ValueError for a name that is taken.
    """

    def decorate(factory: Factory) -> Factory:
        name = factory.__name__
        MODELS.add(
            name,
            RegisteredModel(
                factory, ModelSpec(id=name, **spec), dict(small or {}), foreign, golden, camera, fading
            ),
        )
        return factory

    return decorate


def list_models() -> list[str]:
    """Return the ids of all networks, sorted."""
    return list(MODELS)


def model_spec(id: str) -> ModelSpec:
    """Return the spec of network `id`. Raises UserError for an unknown one."""
    return MODELS.find(id).spec


def small_arguments(id: str) -> dict[str, Any]:
    """Return arguments of `create_model` that build a small network `id`, for tests."""
    return dict(MODELS.find(id).small)


def foreign_names(id: str) -> Optional[ForeignNames]:
    """Return how published checkpoints name the parameters of network `id`; None where there are none."""
    return MODELS.find(id).foreign


def training_camera(id: str) -> Optional[TrainingCamera]:
    """Return the camera of the published weights of network `id`; None where none is known."""
    return MODELS.find(id).camera if id in MODELS else None


def create_model(id: str, **kwargs: Any) -> nn.Layer:
    """Build network `id` with fresh weights; the result carries its `.spec`.

    `kwargs` go to the network's factory, whose defaults are the published size. A network whose arguments
    change fields of its spec says so in `spec_fields`. Raises UserError for an unknown id or argument.
    """
    model = MODELS.find(id)
    known = set(inspect.signature(model.factory).parameters)
    for key in kwargs:
        if key not in known:
            hint = did_you_mean(key, known) if known else "; it takes none"
            raise UserError(f"model {id!r} has no argument {shortened(key)}{hint}")
        _check_size(id, key, kwargs[key])
    try:
        network = model.factory(**kwargs)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, MemoryError) as error:
        raise UserError(
            f"model {id!r} cannot be built with {shortened(kwargs)} ({line_of(error, 200)})"
        ) from None
    network.spec = replace(model.spec, **getattr(network, "spec_fields", {}))
    return network


def _check_size(id: str, key: str, value: Any) -> None:
    """Raise UserError for a number or list that would build a network larger than any machine's memory."""
    values = value if isinstance(value, (list, tuple)) else [value]
    limit = MAX_WIDTH if key in ("width", "widths") else MAX_ARGUMENT
    numbers = [number for number in values if isinstance(number, (int, float))]
    if len(values) > MAX_LIST or any(number > limit for number in numbers):
        raise UserError(
            f"model {id!r}: {key} is {shortened(value)}; numbers are at most {limit}, "
            f"lists at most {MAX_LIST} long"
        )
