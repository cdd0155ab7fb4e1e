"""Weights and files become pictures: restorer, tiles, export, backends."""
