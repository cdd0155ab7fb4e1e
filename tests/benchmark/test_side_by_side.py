"""The arrays that runners share, and the table of their times."""

from __future__ import annotations

import numpy as np

from paddle_restore.benchmark import side_by_side


def test_compare_shares_weights_with_pytorch(tmp_path):
    """The arrays that a PyTorch network is filled from, and the inputs, come back as they were."""
    arrays = {"body.0.weight": np.random.default_rng(0).random((2, 3)), "x": np.arange(3)}
    np.savez(tmp_path / "a.npz", **arrays)
    loaded = side_by_side.load_arrays(tmp_path / "a.npz")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_speed_is_to_pytorchs_best_layout():
    times = {"paddle": 50.0, "pytorch contiguous": 100.0, "pytorch channels_last": 75.0}
    common = {"network": "n", "precision": "fp32", "quartiles_ms": [1, 2], "max_difference": 0, "psnr": 80}
    rows = [{**common, "run by": name, "median_ms": time} for name, time in times.items()]
    assert [side_by_side.cells(row, rows)[-1] for row in rows] == ["1.50x", "0.75x", "1.00x"]
    broken = {"network": "n", "precision": "fp32", "run by": "onnx", "failed": "no graph"}
    assert side_by_side.cells(broken, rows)[3] == "cannot"
