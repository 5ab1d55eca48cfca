"""What an endpoint's model takes of a memory that it shares with others, and the limits of such a memory (a *pool*)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final, TypeVar

from orchestrator.ports.lifecycle import Loader

Limit = TypeVar("Limit", int, float)
IDLE_SECONDS: Final = 300.0
"""How long a model rests before it is unloaded, where nobody says otherwise; Ollama and LocalAI have the same."""
UNBOUNDED: Final = 2**62
"""The budget of a memory of which nobody says how much models may take: models rest and leave, and make room for nobody."""


@dataclass(frozen=True, slots=True)
class Residence:
    """A model that shares a memory with others, so that it may have to be loaded before it can answer.

    ``model`` is the same for all endpoints that call one loaded model; ``pool`` names the memory; ``memory`` is what it takes,
    in bytes. ``rest`` is how long it may rest before it is unloaded, in seconds (``inf``: as long as nobody needs its place),
    ``keep_alive`` what its manifest says of that; ``pinned`` is never unloaded. ``whoever``: it is unloaded after its rest also
    where somebody else loaded it, because the manifest says so. ``process``: its model is in memory as long as a server of ours
    runs, which ``loader`` starts and ends; whose it is, and that it ends with its deployment, is not decided here. ``patience``
    is how long a load may take at most, in seconds (``None``: as usual).
    """

    model: str
    pool: str
    memory: int
    loader: Loader
    pinned: bool = False
    keep_alive: float | None = None
    rest: float = inf
    whoever: bool = False
    process: bool = False
    patience: float | None = None

    def and_also(self, other: Residence) -> Residence:
        """Where two deployments use one model, nobody's is unloaded early: the longest rest holds, pinned for one is pinned,
        and what others loaded is left alone unless both say so. Of two sizes the larger is reckoned with."""
        return replace(
            self,
            memory=max(self.memory, other.memory),
            pinned=self.pinned or other.pinned,
            rest=max(self.rest, other.rest),
            whoever=self.whoever and other.whoever,
        )


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What models may take of a memory. ``budget``: all of them together, in bytes; ``cache``: those that are loaded and
    rest (``None``: no limit of its own); ``saves``: whether less is allowed while the device runs on its battery. ``claimed``: a
    part of what is held is for a server that waits for it to show its first token."""

    budget: int
    cache: int | None = None
    saves: bool = False
    claimed: bool = False

    def less(self, held: int, *, claimed: bool = False) -> PoolLimits:
        """What is left for them beside servers that hold these bytes."""
        return replace(self, budget=max(0, self.budget - held), claimed=claimed) if self.is_limited else self

    @property
    def is_limited(self) -> bool:
        """Whether anybody says how much they may take."""
        return self.budget < UNBOUNDED

    def and_also(self, other: PoolLimits) -> PoolLimits:
        """Where two deployments share the memory, the stricter limit holds for both."""
        return PoolLimits(
            budget=min(self.budget, other.budget),
            cache=_least(self.cache, other.cache),
            saves=self.saves or other.saves,
        )


def _least(one: Limit | None, other: Limit | None) -> Limit | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
