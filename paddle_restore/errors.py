"""The one exception for mistakes that a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Optional


class UserError(Exception):
    """One line that says what is wrong, where, and what to do; commands print it and exit with 2."""


def line_of(text: object, most: Optional[int] = None) -> str:
    """Return a text, or what a library's error says, as one line; of a page, the first `most` characters."""
    return " ".join(str(text).split())[:most]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice nearest to `word`, or the list of choices."""
    choices = sorted(choices)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from: {', '.join(choices)}"
