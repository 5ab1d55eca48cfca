"""What to change so that a model fits: the cures of a memory that is too small. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from orchestrator.core.blueprint import ModelSpec
from orchestrator.core.memory import BITS, Budget, Need, Window, need_of, sizes_of
from orchestrator.core.quantity import format_size

LEAST_CONTEXT: Final = 1024
"""Tokens below which a smaller context is no advice."""


def smaller(spec: ModelSpec, need: Need, budget: Budget) -> str:
    """What to change so that it fits, as keys to write; the words are a cure."""
    ways = [
        *_builds_that_fit(spec, need, budget),
        *_context_that_fits(spec, need, budget),
        *_fewer_slots(spec, need, budget),
    ]
    if not ways:
        ways = ["use a smaller model"]
        ways += ["raise resources.max_memory_usage"] if budget.limit is not None else []
        ways += ["write what it takes (memory), if it does run there"]
    return ", or ".join(ways)


def _builds_that_fit(spec: ModelSpec, need: Need, budget: Budget) -> Iterator[str]:
    """The largest build of the catalogue that fits."""
    for build in sorted(spec["builds"], key=lambda name: BITS.get(name, 0.0), reverse=True):
        other = need_of(sizes_of(spec), build, need.window)
        if other is not None and other.total <= budget.total and other.total < need.total:
            yield f"take the build {build} ({format_size(other.total)})"
            return


def _context_that_fits(spec: ModelSpec, need: Need, budget: Budget) -> Iterator[str]:
    per_token, room = spec["cache_per_token"], budget.total - need.weights - need.server
    if not per_token or need.whole or room <= 0:
        return
    tokens = room // (per_token * need.window.slots) // 1024 * 1024
    if LEAST_CONTEXT <= tokens < need.window.context:
        yield f"let the server keep {tokens} tokens (context_length)"


def _fewer_slots(spec: ModelSpec, need: Need, budget: Budget) -> Iterator[str]:
    if need.window.slots > 1 and not need.whole and spec["cache_per_token"]:
        one = need_of(sizes_of(spec), "", Window(need.window.context, 1), need.weights)
        if one is not None and one.total <= budget.total:
            yield f"serve fewer at once (one slot: {format_size(one.total)})"
