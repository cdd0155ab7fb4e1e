"""Files -> samples: raw files, pictures, datasets, cached frames, synthetic data.

Everything here is NumPy. Paddle enters in `batches.py`, which makes batches of samples.
"""
