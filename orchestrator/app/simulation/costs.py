"""What each fault cost: which requests, for which agents, at whose doors, were lost, refused or late because of it.

Where more is asked than can be done, a request that fails with a fault would mostly have been refused without it. Then the same
load was played without the faults too (``calm``), and a fault cost an agent as many requests as were answered in time there and
are not here. What else became of its requests is of no fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Final

from orchestrator.app.simulation.calm import Calm
from orchestrator.app.simulation.engine import Wish
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.figures import REFUSED, spread_of
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, KEPT, Story

LATE: Final = 1.0
"""Seconds by which a request must have waited longer than the usual ones of its agent to be late."""
AFTER: Final = 6.0
"""Seconds that a fault has consequences once it is over: what waited meanwhile comes all at once."""
UNHEARD: Final = frozenset({GONE, AWAY})
"""Of those nobody heard: what they cost is told of the node that they came to, and of agents that no other node could hold."""
KINDS: Final = ("late", "refused", "kept", "lost")
"""What becomes of requests, the worst last."""
NOTHING: Final = "beyond chance this changes nothing here: as many are answered in time if it does not fail"


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

    def add(self, wish: Wish, harm: str) -> None:
        """One more, to one of its lists."""
        getattr(self, harm).append(wish)

    def told(self) -> str:
        """In words."""
        return f"of its requests{self._came()} {counted([self])}" if self.wishes else NOTHING

    def _came(self) -> str:
        return f" that came to {_and(self.doors)}" if any(self.doors) else ""  # one device has no doors


def costs_of(story: Story, hubs: Sequence[str], calm: Calm | None = None) -> list[Cost]:
    """By fault and agent; what no fault cost is there too, but for what came late. ``hubs``: the nodes that carry the hub, which
    goes with most of them."""
    faults, usual = story.load.faults, _usual(story)
    held = {fault.written: holders_at(story, fault.at) for fault in faults}
    hub = {fault.written for fault in faults if brings_hub_down(fault, faults, hubs)}
    met: dict[tuple[str, str], _Met] = {}
    for wish in story.wishes:
        limit = usual.get(wish.agent, 0.0)
        harm = _harm(wish.outcome, _waited(wish), limit)
        if wish.outcome in UNHEARD or (not harm and calm is None):
            continue
        fault = _cause(wish, faults, held, hub)
        holders = held[fault.written].get(wish.agent, frozenset()) if fault else frozenset[str]()
        key = (fault.written if fault else "", wish.agent)
        at = met.setdefault(key, _Met(Cost(fault, wish.agent, holders)))
        at.add(wish, harm, _harm(calm[wish.id].outcome, calm[wish.id].waited, limit) if calm is not None else "")
    rest: dict[str, Cost] = {}
    costs = [at.cost_of(rest) for at in met.values()]
    return [cost for cost in (*costs, *rest.values()) if cost.wishes]


def counted(costs: Sequence[Cost]) -> str:
    """How many requests of each kind, in words."""
    lost, refused, late, kept = (
        [wish for cost in costs for wish in getattr(cost, kind)] for kind in ("lost", "refused", "late", "kept")
    )
    codes = ", ".join(sorted({wish.outcome for wish in lost}))
    counts = (
        (lost, f"fail ({codes})", f"fails ({codes})"),
        (refused, "are refused, as too many wait", "is refused, as too many wait"),
        (late, f"come {LATE:g} s late or more", f"comes {LATE:g} s late or more"),
        (kept, "are kept for later", "is kept for later"),
    )
    return ", ".join(f"{len(wishes):,} {one if len(wishes) == 1 else many}" for wishes, many, one in counts if wishes)


@dataclass(slots=True)
class _Met:
    """All requests for an agent that met a fault, or none: those that were ``harmed``, with what became of them and what would have
    with no fault at all; and how many would have ended how ``without`` it."""

    cost: Cost
    fine: int = 0
    without: Counter[str] = field(default_factory=Counter)
    harmed: list[tuple[Wish, str, str]] = field(default_factory=list)

    def add(self, wish: Wish, harm: str, otherwise: str) -> None:
        self.without[otherwise] += 1
        if harm:
            self.harmed.append((wish, harm, otherwise))
        else:
            self.fine += 1

    def cost_of(self, rest: dict[str, Cost]) -> Cost:
        """What the fault cost: of all that were harmed those are named first that would have ended best. The others go to the
        ``rest``."""
        left = self._missed()
        for kind in KINDS:
            harmed = sorted((each for each in self.harmed if each[1] == kind), key=lambda each: _grave(each[2]))
            costly = int(min(left, self._more(kind, harmed))) if self.cost.fault else 0
            left -= costly
            for wish, _, _ in harmed[:costly]:
                self.cost.add(wish, kind)
            for wish, _, _ in harmed[costly:] if kind != "late" else ():  # what waits for a model that is full is late
                rest.setdefault(wish.agent, Cost(None, wish.agent, frozenset())).add(wish, kind)
        return self.cost

    @property
    def _is_full(self) -> bool:
        """Whether most are not answered in time with no fault either."""
        return 2 * self.without[""] < self.without.total()

    def _missed(self) -> float:
        """How many it cost at most. Where there is no room for most, which of them find some is chance, so that only their number
        tells, and twice the deviation of such a number is no news."""
        if not self._is_full:
            return inf
        missed = self.without[""] - self.fine
        return missed if missed > 2 * sqrt(self.without[""]) else 0

    def _more(self, kind: str, harmed: Sequence[tuple[Wish, str, str]]) -> int:
        """How many more end so than without it. Who finds no room at a peak is chance too, and who reaches nobody is not."""
        if kind in ("lost", "kept") and not self._is_full:
            return sum(_grave(otherwise) < _grave(kind) for _, _, otherwise in harmed)
        return max(0, len(harmed) - self.without[kind])


def _grave(harm: str) -> int:
    return KINDS.index(harm) if harm else -1


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


def _waited(wish: Wish) -> float | None:
    return None if wish.began is None else wish.began - wish.at


def _harm(outcome: str, waited: float | None, usual: float) -> str:
    """What became of a request: the name of a list of ``Cost``, or nothing bad."""
    if outcome == ANSWERED:
        return "late" if waited is not None and waited > usual + LATE else ""
    return "kept" if outcome == KEPT else "refused" if outcome in REFUSED else "lost"


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
