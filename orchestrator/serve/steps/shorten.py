"""A text that is too long for its place, with a mark where something is missing. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.marks import Mark
from orchestrator.core.repeated_values import tells


def shortened(text: str, room: int, hidden: Sequence[Mark] = ()) -> tuple[str, int]:
    """At most ``room`` characters of it, its beginning and its end with a mark between them, and how many are left out. What is
    ``hidden`` from the cloud is left out whole where it would be cut: half of a value is known by nobody, nor a short one without
    the words beside it."""
    if len(text) <= room:
        return text, 0
    keep = max(0, room - len(_mark(len(text))))
    first, second = keep - keep // 2, len(text) - keep // 2
    for begin, end, _ in sorted(hidden, reverse=True):
        lost = begin < first < end or (end <= first and not tells(text, begin, end, (0, first)))
        first = begin if lost else first
    for begin, end, _ in sorted(hidden, key=lambda each: each[1]):
        lost = begin < second < end or (second <= begin and not tells(text, begin, end, (second, len(text))))
        second = end if lost else second
    return f"{text[:first]}{_mark(second - first)}{text[second:]}", second - first


def _mark(left_out: int) -> str:
    return f"\n({left_out} characters left out)\n"
