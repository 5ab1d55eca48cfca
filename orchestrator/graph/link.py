"""Arrows of the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

LinkKind = Literal["route", "default", "escalate", "uses", "fallback", "runs_on"]
FLOW: Final[tuple[LinkKind, ...]] = ("route", "default", "escalate")
"""The arrows that a request follows; the others say what a vertex needs."""


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow from one address to another."""

    source: str
    target: str
    kind: LinkKind
    label: str = ""
