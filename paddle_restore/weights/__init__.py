"""Published checkpoints -> our weights."""

from paddle_restore.weights.convert import convert_state_dict

__all__ = ["convert_state_dict"]
