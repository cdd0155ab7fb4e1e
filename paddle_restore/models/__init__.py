"""Networks, one file each. They know Paddle and nothing of files."""

from paddle_restore.models.registry import create_model, list_models, model_spec, register
from paddle_restore.models.spec import Latent, ModelSpec

__all__ = ["Latent", "ModelSpec", "create_model", "list_models", "model_spec", "register"]
