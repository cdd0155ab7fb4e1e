"""Proof that the networks are the authors': our numbers beside those of their code, step by step."""

from paddle_restore.alignment.cases import CASES, aligned_models
from paddle_restore.alignment.differences import THRESHOLDS, Row, compare, write
from paddle_restore.alignment.golden import GoldenFolder
from paddle_restore.alignment.steps import align

__all__ = ["CASES", "THRESHOLDS", "GoldenFolder", "Row", "align", "aligned_models", "compare", "write"]
