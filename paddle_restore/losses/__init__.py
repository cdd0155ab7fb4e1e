"""Training losses, by the names that a recipe uses."""

from paddle_restore.losses.registry import LOSSES, Loss, build_losses, register

__all__ = ["LOSSES", "Loss", "build_losses", "register"]
