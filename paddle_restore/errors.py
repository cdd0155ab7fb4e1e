"""The exception for mistakes that a user can correct."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from typing import Optional

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 100, 100, 50


class UserError(Exception):
    """One line that says what is wrong, where and what to do. Commands print it and exit with code 2."""


def line_of(text: object, max_length: Optional[int] = None) -> str:
    """Return a text or an error's message as one line, cut to `max_length` characters."""
    return " ".join(str(text).split())[:max_length]


def shortened(value: object, max_length: int = 200) -> str:
    """Return at most `max_length` characters of a value as Python writes it, without building the rest."""
    return _SHORT.repr(value)[:max_length]


def listed(items: Sequence[str], max_items: int = 10) -> str:
    """Join the first items by commas and say how many more there are."""
    more = f" and {len(items) - max_items} more" if len(items) > max_items else ""
    return ", ".join(items[:max_items]) + more


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the choice nearest to `word`, or the list of choices."""
    choices = sorted(choices)
    near = difflib.get_close_matches(str(word)[:100], choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from: {', '.join(choices)}"
