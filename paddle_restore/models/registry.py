"""The list of networks: `create_model` and `list_models`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from paddle_restore.errors import UserError, did_you_mean, line_of
from paddle_restore.models.spec import ModelSpec

# One module a network. Imported when a network is first asked for, so that running an
# exported model never loads the code that defined it.
_MODULES = ("sid", "lamba", "mirnet", "mirnet_v2", "invdn", "unet")

_FACTORIES: dict[str, tuple[Callable[..., Any], ModelSpec]] = {}


def register(**spec: Any) -> Callable:
    """Register a factory under its own name; `spec` are the fields of ModelSpec but `id`."""

    def decorate(factory: Callable) -> Callable:
        _FACTORIES[factory.__name__] = (factory, ModelSpec(id=factory.__name__, **spec))
        return factory

    return decorate


def _factories() -> dict[str, tuple[Callable[..., Any], ModelSpec]]:
    for module in _MODULES:
        import_module(f"paddle_restore.models.{module}")
    return _FACTORIES


def list_models() -> list[str]:
    """Return the ids of all networks, sorted."""
    return sorted(_factories())


def model_spec(id: str) -> ModelSpec:
    """Return the spec of network `id`. Raises UserError for an unknown one."""
    if id not in _factories():
        raise UserError(f"unknown model {id!r}{did_you_mean(id, _FACTORIES)}")
    return _FACTORIES[id][1]


def create_model(id: str, **kwargs: Any) -> Any:
    """Build network `id` with fresh weights: a `paddle.nn.Layer` that carries its `.spec`.

    `kwargs` go to the network's factory (its published size is the default). Raises
    UserError for an unknown id or argument.
    """
    spec = model_spec(id)
    factory = _FACTORIES[id][0]
    known = set(inspect.signature(factory).parameters)
    for key in kwargs:
        if key not in known:
            hint = did_you_mean(key, known) if known else "; it takes none"
            raise UserError(f"model {id!r} has no argument {key!r}{hint}")
    try:
        model = factory(**kwargs)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError) as error:
        raise UserError(f"model {id!r} cannot be built with {kwargs} ({line_of(error)})") from None
    model.spec = spec
    return model
