"""What a model writes before its answer where its server does not take it out: the tags that thinking models have for it."""

from __future__ import annotations

import re
from typing import Final

_THOUGHT: Final = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(</\1>|\Z)|\A.*</(think|thinking|thought|reasoning)>", re.DOTALL
)


def without_thoughts(text: str, instead: str = "") -> str:
    """The same without them, also where one has no beginning or no end."""
    return _THOUGHT.sub(instead, text)
