"""Lanes of what waits for targets that are away: what is tried when, and behind what. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from orchestrator.core.delivery import Delivery

MOST_AT_ONCE: Final = 4
"""Requests of one lane that are under way at once, once its target is back."""
TRIES_AT_THE_HEAD: Final = 5
"""After so many tries of one request another one of its lane is tried first: the fault may be the request's own."""


@dataclass(slots=True)
class Lane:
    """What is known of a target: ``tries`` that failed in a row, whether it answered the last one, and the time of the loop's
    clock before which it is left alone."""

    tries: int = 0
    open: bool = False
    until: float = 0.0


Place = tuple[str, str]


def place_of(delivery: Delivery) -> Place:
    """Its lane: deployment and agent. What waits for a person on another node has its own: how one ends says nothing of others."""
    return delivery.deployment, delivery.id if delivery.there else delivery.agent


@dataclass(slots=True)
class Work:
    """What the forwarder is at: its lanes, the ids of what is under way, of what somebody ``named`` to be tried now, and of runs of
    other nodes whose end was ``heard``."""

    lanes: dict[Place, Lane] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)


def due(waiting: Sequence[Delivery], work: Work, now: float) -> list[Delivery]:
    """Which of them are tried now: those that somebody named, whatever their lanes say; then the oldest of the least tried. Pure.
    ``waiting`` are in the order in which they came."""
    busy = Counter(place_of(each) for each in waiting if each.id in work.ids)
    free = [each for each in waiting if each.id not in work.ids]
    chosen = [each for each in free if each.id in work.named]
    busy.update(map(place_of, chosen))
    for each in sorted(free, key=lambda each: each.tries // TRIES_AT_THE_HEAD):
        lane = work.lanes.get(place_of(each)) or Lane()
        most = MOST_AT_ONCE if lane.open else 1
        if each.id not in work.named and lane.until <= now and busy[place_of(each)] < most:
            busy[place_of(each)] += 1
            chosen.append(each)
    return chosen


def next_tries(waiting: Sequence[Delivery], work: Work, now: float) -> Mapping[str, tuple[float, str]]:
    """For each that waits, by its id: in how many seconds it is tried at the earliest, and the id of the one behind which it
    stands in its lane; an empty one where it is at the head. Pure."""
    heads: dict[Place, list[str]] = {}
    for each in waiting:
        if each.id in work.ids:
            heads.setdefault(place_of(each), []).append(each.id)
    found: dict[str, tuple[float, str]] = {}
    for each in sorted(waiting, key=lambda each: each.tries // TRIES_AT_THE_HEAD):
        lane, first = work.lanes.get(place_of(each)) or Lane(), heads.setdefault(place_of(each), [])
        if each.id in work.ids or each.id in work.named:
            found[each.id] = 0.0, ""
            continue
        at_head = len(first) < (MOST_AT_ONCE if lane.open else 1)
        found[each.id] = max(0.0, lane.until - now), "" if at_head else first[0]
        if at_head:
            first.append(each.id)
    return found
