"""Files -> samples. NumPy only; Paddle enters in batches.py, where samples become batches.

A training dataset has `__len__` and `sample(index, rng)`; an evaluation dataset has `__len__`,
`sample(index)` and `note`. Both return dicts of float32 CHW arrays in [0, 1]: `input`, `target`,
`name`, and what the dataset adds (`ratio`, `baseline`, `group`, `counted`).
"""

import os
import warnings

# LibRaw's OpenMP threads do not survive a fork: once it has developed a file, worker processes
# would hang in their first one. Its own copy of OpenMP reads the variable when it is loaded, so
# LibRaw works in one thread (there are as many workers as one likes) and nothing else is changed.
_threads = os.environ.get("OMP_NUM_THREADS")
os.environ["OMP_NUM_THREADS"] = "1"
import rawpy  # noqa: E402, F401

if _threads is None:
    del os.environ["OMP_NUM_THREADS"]
else:
    os.environ["OMP_NUM_THREADS"] = _threads
warnings.filterwarnings("ignore", message="rawpy is being used in a process created by multiprocessing")
