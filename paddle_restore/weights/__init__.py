"""Published checkpoints -> our weights, and the safe way to read our own."""

from paddle_restore.weights.convert import convert_state_dict
from paddle_restore.weights.unpickle import load_pickle

__all__ = ["convert_state_dict", "load_pickle"]
