"""What a story comes to: who was answered, who waited how long, how busy the models were, and how long a fail-over took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Final

from orchestrator.app.simulation.calm import Calm
from orchestrator.app.simulation.durations import Assumed
from orchestrator.app.simulation.engine import Wish
from orchestrator.app.simulation.faults import Fault
from orchestrator.app.simulation.play import ANSWERED, AWAY, GONE, KEPT, Story
from orchestrator.core.blueprint import Blueprint
from orchestrator.core.errors import FleetBusy, QueueFull, WouldMissDeadline

REFUSED: Final = frozenset({QueueFull.code, FleetBusy.code, WouldMissDeadline.code})
"""Codes of requests that are not taken on for want of room or of time: their callers are told at once."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds that half, 95 and 99 of a hundred took at most; none where nobody did."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How requests ended. ``gone``: their door's node died with them; ``away``: it was down when they came; ``kept``: they wait
    until their agent is there again; ``codes``: of those that were refused or failed."""

    asked: int
    answered: int
    refused: int
    failed: int
    gone: int
    away: int
    kept: int
    codes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """Of one agent: how long those that were answered waited until a model began, and how long until they had the answer."""

    agent: str
    counts: Counts
    waited: Spread | None
    took: Spread | None


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """Of one model on one node. ``busy``: the share of its slots' time, while the node lived, that was spent on answers."""

    node: str
    model: str
    slots: int
    answers: int
    busy: float
    waited: Spread | None


@dataclass(frozen=True, slots=True)
class Move:
    """An agent is held by a node so many seconds later."""

    agent: str
    node: str
    seconds: float


@dataclass(frozen=True, slots=True)
class FailOver:
    """What followed a fault. ``noticed``: seconds until the others sent it nothing any more; ``taken``: who took over;
    ``back``: when it held its agents again, counted from its return. ``asked`` and ``answered`` are of requests that came to
    nodes that lived while it was down; ``otherwise``: of these, answered with no fault at all, where that was played too."""

    fault: Fault
    noticed: float | None
    taken: tuple[Move, ...]
    back: tuple[Move, ...]
    asked: int
    answered: int
    otherwise: int | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything. ``otherwise``: how the same requests end with no fault at all, where that was played too."""

    counts: Counts
    agents: tuple[AgentFigures, ...]
    servers: tuple[ServerFigures, ...]
    fail_overs: tuple[FailOver, ...]
    otherwise: Counts | None = None

    @property
    def lost(self) -> int:
        """Requests that a node took on which lived on, and that nobody answered."""
        return self.counts.failed


def figures_of(story: Story, blueprint: Blueprint, assumed: Assumed, calm: Calm | None = None) -> Figures:
    """The figures of a story; ``calm`` is what became of its requests without its faults."""
    by_agent: dict[str, list[Wish]] = {agent: [] for agent in story.load.shares}
    for wish in story.wishes:
        by_agent[wish.agent].append(wish)
    return Figures(
        counts_of([wish.outcome for wish in story.wishes]),
        tuple(_of_agent(agent, wishes) for agent, wishes in by_agent.items()),
        tuple(_of_servers(story, blueprint, assumed)),
        tuple(_fail_over(story, fault, calm) for fault in story.load.faults),
        counts_of([each.outcome for each in calm.values()]) if calm is not None else None,
    )


def counts_of(outcomes: Sequence[str]) -> Counts:
    """How requests ended."""
    ends = Counter(outcomes)
    codes = {code: ends[code] for code in sorted(ends) if code not in (ANSWERED, GONE, AWAY, KEPT)}
    refused = sum(count for code, count in codes.items() if code in REFUSED)
    failed = sum(codes.values()) - refused
    return Counts(len(outcomes), ends[ANSWERED], refused, failed, ends[GONE], ends[AWAY], ends[KEPT], codes)


def spread_of(seconds: Iterable[float]) -> Spread | None:
    """By nearest rank."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    p50, p95, p99 = (ordered[ceil(share * len(ordered)) - 1] for share in (0.5, 0.95, 0.99))
    return Spread(p50, p95, p99)


def _of_agent(agent: str, wishes: Sequence[Wish]) -> AgentFigures:
    answered = [wish for wish in wishes if wish.outcome == ANSWERED]
    return AgentFigures(
        agent,
        counts_of([wish.outcome for wish in wishes]),
        spread_of(_waits(answered)),
        spread_of(wish.ended - wish.at for wish in answered),
    )


def _waits(wishes: Iterable[Wish]) -> Iterator[float]:
    for wish in wishes:
        if wish.began is not None:
            yield wish.began - wish.at


def _of_servers(story: Story, blueprint: Blueprint, assumed: Assumed) -> Iterator[ServerFigures]:
    models = {one.spec["alias"]: one.spec for one in blueprint.of_kind("model")}
    for (node, model), busy in sorted(story.busy.items()):
        answered = [w for w in story.wishes if w.outcome == ANSWERED and (w.served, w.model) == (node, model)]
        slots, lived = assumed.slots_of(models[model]), story.lived[node]
        share = min(1.0, busy / (slots * lived)) if lived else 0.0
        yield ServerFigures(node, model, slots, len(answered), share, spread_of(_waits(answered)))


# ---- fail-over ------------------------------------------------------------------------------------------------------


def _fail_over(story: Story, fault: Fault, calm: Calm | None) -> FailOver:
    ends = story.load.duration if fault.after is None else min(fault.at + fault.after, story.load.duration)
    met = [wish for wish in story.wishes if fault.at <= wish.at < ends and wish.outcome not in (AWAY, GONE)]
    answered = sum(wish.outcome == ANSWERED for wish in met)
    otherwise = sum(calm[wish.id].outcome == ANSWERED for wish in met) if calm is not None else None
    if fault.kind != "node":
        return FailOver(fault, None, (), (), len(met), answered, otherwise)
    [node] = fault.ends
    held = _held(story, node, fault.at)
    taken = _moves(story, held, node, (fault.at, ends), itself=False)
    again = min((each.at for each in story.load.faults if each.at > ends and each.ends == fault.ends), default=inf)
    back = _moves(story, held, node, (fault.at + fault.after, again), itself=True) if fault.after else ()
    return FailOver(fault, _noticed(story, node, fault.at, ends), taken, back, len(met), answered, otherwise)


def _held(story: Story, node: str, at: float) -> list[str]:
    """What a node held at a moment."""
    held: list[str] = []
    for when, who, kind, fields in story.told:
        if who == node and kind == "mesh.holds" and when < at:
            held = fields["agents"]
    return held


def _noticed(story: Story, node: str, begins: float, ends: float) -> float | None:
    """When the last of the others knew."""
    seen = {
        who: when - begins
        for when, who, kind, fields in reversed(story.told)
        if kind == "mesh.node" and fields["node"] == node and fields["state"] != "alive" and begins <= when < ends
    }
    return max(seen.values(), default=None)


def _moves(
    story: Story, held: Sequence[str], node: str, span: tuple[float, float], *, itself: bool
) -> tuple[Move, ...]:
    """When what a node held was held by another one for the first time in a span, or by it ``itself`` again and for good: one that
    comes back begins with what it remembers, until it hears what it is to hold."""
    found: dict[str, Move] = {}
    holding: dict[str, set[str]] = {}
    for when, who, kind, fields in story.told:
        if kind != "mesh.holds":
            continue
        new = set(fields["agents"]) - holding.get(who, set())
        if (who == node) is itself and span[0] <= when < span[1]:
            moves = {agent: Move(agent, who, when - span[0]) for agent in new}
            found = found | moves if itself else moves | found
        if not itself or when >= span[0]:
            holding[who] = set(fields["agents"])
    return tuple(found[agent] for agent in held if agent in found)
