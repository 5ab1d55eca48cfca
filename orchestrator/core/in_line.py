"""Words of somebody else as a part of a line of ours."""

from __future__ import annotations

import re
from typing import Final

_STEERING: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, what ends a line, and what turns the order of letters round."""


def in_line(text: str) -> str:
    """What a server calls itself or a model, for a row or a sentence: what would steer a terminal, or tear the row, is shown
    instead (a newline as ``␊``)."""
    return text if text.isprintable() else _STEERING.sub(visible, text)


def visible(found: re.Match[str]) -> str:
    """A sign that a terminal obeys, as one that it shows."""
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"\\u{code:04x}"
