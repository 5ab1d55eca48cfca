"""A text that is too long for its place, with a mark where something is missing. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.marks import Mark


def shortened(text: str, room: int, hidden: Sequence[Mark] = ()) -> tuple[str, int]:
    """At most ``room`` characters of it, its beginning and its end with a mark between them, and how many are left out. What is
    ``hidden`` from the cloud is left out whole where it would be cut: half of a value is known by nobody."""
    if len(text) <= room:
        return text, 0
    keep = max(0, room - len(_mark(len(text))))
    first, second = keep - keep // 2, len(text) - keep // 2
    for begin, end, _ in sorted(hidden, reverse=True):
        first = begin if begin < first < end else first
    for begin, end, _ in sorted(hidden, key=lambda each: each[1]):
        second = end if begin < second < end else second
    return f"{text[:first]}{_mark(second - first)}{text[second:]}", second - first


def _mark(left_out: int) -> str:
    return f"\n({left_out} characters left out)\n"
