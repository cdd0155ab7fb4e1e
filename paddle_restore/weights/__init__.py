"""Published checkpoints -> our weights, and the safe way to read our own."""

from paddle_restore.weights.convert import convert_state_dict
from paddle_restore.weights.load import load_into
from paddle_restore.weights.reader import load_pdparams
from paddle_restore.weights.unpickle import load_pickle

__all__ = ["convert_state_dict", "load_into", "load_pdparams", "load_pickle"]
