"""The nearest known name to a mistyped one, and what a name tells."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

ALIKE: Final = 0.6
"""How alike two names are at least (1 is the same), for one to be meant by the other."""


def nearest(word: str, known: Iterable[str], count: int = 3, alike: float = ALIKE) -> list[str]:
    """Up to ``count`` known names that look like ``word``, best first (case does not matter)."""
    by_fold = {name.casefold(): name for name in known}
    return [by_fold[match] for match in difflib.get_close_matches(word.casefold(), by_fold, count, alike)]


def did_you_mean(word: str, known: Iterable[str], alike: float = ALIKE) -> str:
    """``did you mean "billing"?``, or an empty text where nothing is near."""
    quoted = [f'"{name}"' for name in nearest(word, known, 2, alike)]
    return f"did you mean {' or '.join(quoted)}?" if quoted else ""


def is_cloud_tag(name: str) -> bool:
    """Whether a name means a model of Ollama's cloud."""
    tag = name.rpartition(":")[2] if ":" in name else ""
    return tag == "cloud" or tag.endswith("-cloud")
