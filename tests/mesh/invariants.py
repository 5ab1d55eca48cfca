"""What must hold in every fleet, simulated or real, read from what its nodes did. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """Something that an agent did to the outside, under which epoch of its lease; 0 without one."""

    at: float
    agent: str
    node: str
    epoch: int
    request: str


def wrong_effects(effects: Iterable[Effect], exclusive: Collection[str]) -> Iterator[str]:
    """Of an exclusive agent, each epoch is one node's, and no older one does anything after a newer one. ``effects`` are in the
    order in which they happened."""
    owners: dict[tuple[str, int], str] = {}
    newest: Counter[str] = Counter()
    for effect in effects:
        if effect.agent not in exclusive:
            continue
        owner = owners.setdefault((effect.agent, effect.epoch), effect.node)
        if owner != effect.node or effect.epoch == 0:
            yield f"{effect}, and {owner} had this epoch"
        if effect.epoch < newest[effect.agent]:
            yield f"{effect} after one of epoch {newest[effect.agent]}"
        newest[effect.agent] = max(newest[effect.agent], effect.epoch)
