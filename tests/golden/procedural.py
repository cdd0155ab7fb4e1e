"""The golden weights and inputs, where the tests look for them."""

from paddle_restore.alignment.procedural import procedural_input, procedural_tf_weight, procedural_weight

__all__ = ["procedural_input", "procedural_tf_weight", "procedural_weight"]
