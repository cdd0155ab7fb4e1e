"""Networks, one file each. They know Paddle and nothing of files."""

from paddle_restore.models.published import ForeignNames, Golden
from paddle_restore.models.registry import (
    MODELS,
    create_model,
    foreign_names,
    list_models,
    model_spec,
    register,
    small_arguments,
)
from paddle_restore.models.spec import Latent, ModelSpec

__all__ = [
    "MODELS",
    "ForeignNames",
    "Golden",
    "Latent",
    "ModelSpec",
    "create_model",
    "foreign_names",
    "list_models",
    "model_spec",
    "register",
    "small_arguments",
]
