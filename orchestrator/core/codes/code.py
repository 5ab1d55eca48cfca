"""What one stable code means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A stable code: ``title`` in a few words, ``why`` it is refused, ``cure``, and an ``example`` of the fault."""

    code: str
    title: str
    why: str
    cure: str
    example: str = ""
