"""`inference.yml` of folders that others made."""

from __future__ import annotations

import pytest

from paddle_restore.errors import UserError
from paddle_restore.inference.package import FILE, read_package

LAUGHS = "&a [x, x, x, x, x, x, x, x], " + ", ".join(
    f"&{chr(i)} [{', '.join([f'*{chr(i - 1)}'] * 8)}]" for i in range(ord("b"), ord("l"))
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"name: [{LAUGHS}]", "more than 20000 values"),
        (f"spec: {{input: [{LAUGHS}]}}", "more than 20000 values"),
        ("spec: &s {input: *s}", "an alias stands inside what it names"),
        ("preprocess: {1: 2}", "the key 1 is not text"),
        ("format: 2024-13-45", "is not valid YAML"),
        ("name: " + "[" * 5000, "nested too deeply"),
        ("name: [" + "xxxxxxxxx, " * 9000 + "]", "inference.yml: "),
    ],
)
def test_a_hostile_description_is_one_short_line(tmp_path, text, message):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_package(tmp_path)
    assert len(str(caught.value)) < len(str(tmp_path)) + 600
