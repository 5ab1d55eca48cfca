"""Another manifest in the middle of a simulated life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

HEALTH_GATE: Final = 1.5
UPDATES: Final = 3
"""Each third seed has an update in it."""


@dataclass(frozen=True)
class Update:
    """Another manifest at some time: agents ``moved`` by so many nodes, and ``more`` of them. A node may refuse it, or be ill with
    it."""

    at: float
    moved: int
    more: int
    warming: float
    refuses: str = ""
    ill: str = ""

    @classmethod
    def drawn(cls, seed: int, names: Sequence[str]) -> Update:
        """By chances of its own, so that those of the faults are the same with it."""
        random = Random(f"update {seed}")
        node, kind = random.choice(names), random.choice(["good", "good", "refuses", "ill"])
        more = {kind: node} if kind != "good" else {}
        return cls(random.uniform(6, 16), random.randint(1, 2), random.randint(0, 2), random.uniform(0, 1.5), **more)
