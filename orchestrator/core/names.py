"""The nearest known name to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Up to ``count`` known names that look like ``word``, best first (case does not matter)."""
    by_fold = {name.casefold(): name for name in known}
    return [by_fold[match] for match in difflib.get_close_matches(word.casefold(), by_fold, count, 0.6)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``did you mean "billing"?``, or an empty text where nothing is near."""
    quoted = [f'"{name}"' for name in nearest(word, known, 2)]
    return f"did you mean {' or '.join(quoted)}?" if quoted else ""
