"""What an endpoint's model takes of a memory that it shares with others, and the limits of such a memory (a *pool*)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeVar

from orchestrator.ports.lifecycle import Loader

Limit = TypeVar("Limit", int, float)
IDLE_SECONDS: Final = 300.0
"""How long a model rests before it is unloaded, where nobody says otherwise; Ollama and LocalAI have the same."""


@dataclass(frozen=True, slots=True)
class Residence:
    """A model that shares a memory with others, so that it may have to be loaded before it can answer.

    ``model`` is the same for all endpoints that call one loaded model; ``pool`` names the memory; ``memory`` is what it takes,
    in bytes. ``keep_alive`` is how long it may rest before it is unloaded, in seconds (``None``: as the pool says, ``inf``:
    as long as nobody needs its place); ``pinned`` is never unloaded. ``loaded``: whether it was when it was looked at;
    ``load_seconds``: what loading it took before, where that is known.
    """

    model: str
    pool: str
    memory: int
    loader: Loader
    pinned: bool = False
    keep_alive: float | None = None
    loaded: bool = False
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What models may take of a memory. ``budget``: all of them together, in bytes; ``cache``: those that are loaded and
    rest (``None``: no limit of its own); ``idle``: seconds of rest after which one is unloaded (``None``: never);
    ``saves``: whether less is allowed while the device runs on its battery."""

    budget: int
    cache: int | None = None
    idle: float | None = IDLE_SECONDS
    saves: bool = False

    def less(self, held: int) -> PoolLimits:
        """What is left for them beside servers that hold these bytes."""
        return replace(self, budget=max(0, self.budget - held))

    def and_also(self, other: PoolLimits) -> PoolLimits:
        """Where two deployments share the memory, the stricter limit holds for both."""
        return PoolLimits(
            budget=min(self.budget, other.budget),
            cache=_least(self.cache, other.cache),
            idle=_least(self.idle, other.idle),
            saves=self.saves or other.saves,
        )


def _least(one: Limit | None, other: Limit | None) -> Limit | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
