"""What tests compare of two runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from paddle_restore.weights import load_pdparams, load_pickle


def arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    """Weights, averaged weights and optimiser states of a checkpoint."""
    found = {}
    for file in sorted(checkpoint.glob("*.pdparams")):
        found.update({f"{file.stem}/{name}": value for name, value in load_pdparams(file).items()})
    states = load_pickle(checkpoint / "model.pdopt")["optimizer"]
    found.update({f"optimiser/{k}": v for k, v in states.items() if isinstance(v, np.ndarray)})
    return found


def records(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def board(run: Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of every scalar that VisualDL shows."""
    from visualdl import LogReader

    (file,) = (run / "vdl").iterdir()
    reader = LogReader(file_path=str(file))
    tags = reader.get_tags()["scalar"]
    return sorted((p.tag, p.id, p.value) for tag in tags for p in reader.get_data("scalar", tag))


def assert_same_run(one: Path, two: Path) -> None:
    """Bitwise the same checkpoints, states, records and VisualDL values."""
    folders = sorted(p.name for p in one.iterdir() if (p / "state.json").is_file())
    assert folders == sorted(p.name for p in two.iterdir() if (p / "state.json").is_file())
    for folder in folders:
        first, second = arrays(one / folder), arrays(two / folder)
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=f"{folder}: {name}")
        states = [json.loads((run / folder / "state.json").read_text()) for run in (one, two)]
        assert states[0] == states[1]
    assert records(one) == records(two)
    assert board(one) == board(two)
