"""Compare networks with values of their authors' code, step by step."""

from paddle_restore.alignment.differences import THRESHOLDS, Row, compare, write
from paddle_restore.alignment.golden import GoldenFolder, aligned_models, golden_of
from paddle_restore.alignment.steps import align

__all__ = ["THRESHOLDS", "GoldenFolder", "Row", "align", "aligned_models", "compare", "golden_of", "write"]
