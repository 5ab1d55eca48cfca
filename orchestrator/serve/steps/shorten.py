"""A text that is too long for its place, with a mark where something is missing. Pure."""

from __future__ import annotations


def shortened(text: str, room: int) -> tuple[str, int]:
    """At most ``room`` characters of it, its beginning and its end with a mark between them, and how many are left out."""
    if len(text) <= room:
        return text, 0
    keep = max(0, room - len(_mark(len(text))))
    first, last = keep - keep // 2, keep // 2
    left_out = len(text) - keep
    return f"{text[:first]}{_mark(left_out)}{text[len(text) - last :]}", left_out


def _mark(left_out: int) -> str:
    return f"\n({left_out} characters left out)\n"
