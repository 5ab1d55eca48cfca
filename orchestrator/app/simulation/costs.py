"""What each fault cost: which requests, for which agents, at whose doors, were lost, refused or late because of it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from orchestrator.app.simulation.engine import Wish
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.figures import REFUSED, spread_of
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, KEPT, Story

LATE: Final = 1.0
"""Seconds by which a request must have waited longer than the usual ones of its agent to be late."""
AFTER: Final = 6.0
"""Seconds that a fault has consequences once it is over: what waited meanwhile comes all at once."""


@dataclass(slots=True)
class Cost:
    """What a fault (``None``: nothing that was to fail) cost an agent. ``holders`` are the nodes that held it when that began."""

    fault: Fault | None
    agent: str
    holders: frozenset[str]
    lost: list[Wish] = field(default_factory=list)
    refused: list[Wish] = field(default_factory=list)
    late: list[Wish] = field(default_factory=list)
    kept: list[Wish] = field(default_factory=list)

    @property
    def wishes(self) -> list[Wish]:
        """All of them."""
        return [*self.lost, *self.refused, *self.late, *self.kept]

    @property
    def doors(self) -> list[str]:
        """The nodes that they had come to."""
        return sorted({wish.door for wish in self.wishes})

    def told(self) -> str:
        """In words."""
        codes = ", ".join(sorted({wish.outcome for wish in self.lost}))
        counts = (
            (self.lost, f"fail ({codes})", f"fails ({codes})"),
            (self.refused, "are refused, as too many wait", "is refused, as too many wait"),
            (self.late, f"come {LATE:g} s late or more", f"comes {LATE:g} s late or more"),
            (self.kept, "are kept for later", "is kept for later"),
        )
        told = [f"{len(wishes):,} {one if len(wishes) == 1 else many}" for wishes, many, one in counts if wishes]
        came = f" that came to {_and(self.doors)}" if any(self.doors) else ""  # one device has no doors
        return f"of its requests{came} {', '.join(told)}"


def costs_of(story: Story, hubs: Sequence[str]) -> list[Cost]:
    """By fault and agent. ``hubs``: the nodes that carry the hub, which goes with most of them."""
    faults, usual = story.load.faults, _usual(story)
    held = {fault.written: holders_at(story, fault.at) for fault in faults}
    hub = {fault.written for fault in faults if brings_hub_down(fault, faults, hubs)}
    found: dict[tuple[str, str], Cost] = {}
    for wish in story.wishes:
        harm = _harm(wish, usual.get(wish.agent, 0.0))
        fault = _cause(wish, faults, held, hub) if harm else None
        if not harm or (fault is None and harm != "lost"):
            continue  # what is late or refused without a fault is told of the model that is full
        key = (fault.written if fault else "", wish.agent)
        holders = held[fault.written].get(wish.agent, frozenset()) if fault else frozenset[str]()
        cost = found.setdefault(key, Cost(fault, wish.agent, holders))
        getattr(cost, harm).append(wish)
    return list(found.values())


def holders_at(story: Story, at: float) -> dict[str, frozenset[str]]:
    """Who held each agent just before a moment."""
    last: dict[str, Sequence[str]] = {}
    for when, node, kind, fields in story.told:
        if kind == "mesh.holds" and when < at:
            last[node] = fields["agents"]
    agents = {agent for held in last.values() for agent in held}
    return {agent: frozenset(node for node, held in last.items() if agent in held) for agent in agents}


def over(fault: Fault) -> float:
    """When it is over; infinite where it stays."""
    return inf if fault.after is None else fault.at + fault.after


def brings_hub_down(fault: Fault, faults: Sequence[Fault], hubs: Sequence[str]) -> bool:
    """Whether the hub goes with it: half of the nodes that carry it, or more, are down then."""
    if fault.kind != "node" or fault.ends[0] not in hubs:
        return fault.kind == "hub"
    down = {one.ends[0] for one in faults if one.kind == "node" and one.at <= fault.at < over(one)}
    return 2 * len(down & {*hubs}) >= len(hubs)


def _usual(story: Story) -> dict[str, float]:
    """How long 95 of a hundred answers to each agent waited at most, before anything failed."""
    first = min((fault.at for fault in story.load.faults), default=inf)
    waits: dict[str, list[float]] = {}
    for wish in story.wishes:
        if wish.outcome == ANSWERED and wish.ended < first and wish.began is not None:
            waits.setdefault(wish.agent, []).append(wish.began - wish.at)
    return {agent: spread.p95 for agent, found in waits.items() if (spread := spread_of(found))}


def _harm(wish: Wish, usual: float) -> str:
    """What became of it: the name of a list of ``Cost``, or nothing bad, or what its node's callers are told of."""
    if wish.outcome in (GONE, AWAY):
        return ""
    if wish.outcome == ANSWERED:
        return "late" if wish.began is not None and wish.began - wish.at > usual + LATE else ""
    return "kept" if wish.outcome == KEPT else "refused" if wish.outcome in REFUSED else "lost"


def _cause(
    wish: Wish, faults: Sequence[Fault], held: Mapping[str, Mapping[str, frozenset[str]]], hub: Container[str]
) -> Fault | None:
    """The fault that it met: of those that concern it, the one that began last."""
    met = [
        fault
        for fault in faults
        if fault.at <= wish.ended
        and wish.at < over(fault) + AFTER
        and (fault.written in hub or _touches(fault, wish, held[fault.written].get(wish.agent, frozenset())))
    ]
    return max(met, key=lambda fault: fault.at, default=None)


def _touches(fault: Fault, wish: Wish, holders: frozenset[str]) -> bool:
    return wish.door in fault.ends or bool(holders & {*fault.ends})


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
