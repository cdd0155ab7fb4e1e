"""Files -> samples. NumPy only; Paddle enters in batches.py, where samples become batches.

A training dataset has `__len__` and `sample(index, rng)`; an evaluation dataset has `__len__`,
`sample(index)` and `note`. Both return dicts of float32 CHW arrays in [0, 1]: `input`, `target`,
`name`, and what the dataset adds (`ratio`, `baseline`, `group`, `counted`, `lq`).
"""
