"""Read published checkpoints and our own safely, convert them, and load them into networks."""

from paddle_restore.weights.convert import convert_state_dict
from paddle_restore.weights.load import load_into, load_weights, tensors_of
from paddle_restore.weights.reader import load_pdparams, read_weights
from paddle_restore.weights.recognise import check_forward, recognise
from paddle_restore.weights.unpickle import load_pickle
from paddle_restore.weights.writer import write_weights

__all__ = [
    "check_forward",
    "convert_state_dict",
    "load_into",
    "load_pdparams",
    "load_pickle",
    "load_weights",
    "read_weights",
    "recognise",
    "tensors_of",
    "write_weights",
]
