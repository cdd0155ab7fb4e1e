"""Samples become trained weights: recipes, trainer, objectives, optimisers, checkpoints, evaluation."""
