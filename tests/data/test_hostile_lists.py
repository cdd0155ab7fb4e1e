"""Lists that nobody would write by hand: one short line each."""

from __future__ import annotations

import pytest

from paddle_restore.data.datasets.raw_pairs import RawPairsOptions, read_pairs
from paddle_restore.data.matching import read_list
from paddle_restore.errors import UserError


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("deep.json", "[" * 100_000 + "]" * 100_000, "is not valid JSON"),
        ("header.csv", "short,long,ratio," + "a" * 200_000 + "\nx,y,1\n", "is not valid CSV|unknown column"),
        ("value.csv", "short,long,ratio\n" + "a" * 200_000 + ",y,1\n", "is not valid CSV|does not exist"),
        ("name.csv", f"short,long,ratio\n{'a' * 300},y,1\n", "does not exist"),
        ("nul.json", '[{"short": "a\\u0000b", "long": "c", "ratio": 1}]', "does not exist"),
        ("surrogate.json", '[{"short": "\\ud800", "long": "c", "ratio": 1}]', "does not exist"),
        ("number.json", '[{"short": 5, "long": "c", "ratio": 1}]', "5 is not a file's name"),
        ("long.json", '[{"short": ["' + "a" * 5000 + '"], "long": "c"}]', "is not a file's name"),
    ],
)
def test_hostile_lists_are_one_short_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    options = RawPairsOptions(root=tmp_path, train_list=name, eval_list=name)
    with pytest.raises(UserError, match=message) as caught:
        read_pairs(options, options.train_list)
    assert len(str(caught.value)) < 2 * len(str(tmp_path)) + 600


def test_a_sid_name_that_is_too_long_for_a_file(tmp_path):
    short = f"./Sony/short/00001_00_{'9' * 300}s.ARW"
    (tmp_path / "list.txt").write_text(f"{short} ./Sony/long/00001_00_10s.ARW ISO200 F8\n")
    with pytest.raises(UserError, match=r"list.txt:1: names .* does not exist"):
        read_list(tmp_path, "list.txt")
