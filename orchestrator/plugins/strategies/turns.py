"""Strategies that share requests among agents that are alike: they look at who is there and how busy, not at what is asked.

``round-robin`` takes the agents in turn, ``sticky`` keeps a session with one, ``least-loaded`` takes the least busy one, and
``priority`` the first in the order written that has a free slot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count
from math import inf
from typing import Final

from orchestrator.core.request import Decision
from orchestrator.plugins.strategies.instant import Instant
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions

ROUND_ROBIN: Final = "round-robin"
STICKY: Final = "sticky"
LEAST_LOADED: Final = "least-loaded"
PRIORITY: Final = "priority"
FULL: Final = 1.0
"""The load at which every slot is taken."""


class Sharing(Instant):
    """Chooses among names, in the order that the routes are written."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._turns = count()

    def judge_unseen(self, question: RouteQuestion, of: str, *, whole: bool) -> None:  # noqa: ARG002 - of its kind
        """What it chooses says nothing of an example."""
        return

    def _turned(self, names: Sequence[str]) -> str:
        """The next of them; each call moves on by one."""
        return names[next(self._turns) % len(names)]


class RoundRobin(Sharing):
    """Each in turn, of those that answer."""

    def judge(self, question: RouteQuestion) -> Decision:
        names = _answering(self._names, question)
        name = self._turned(names)
        return Decision(
            ROUND_ROBIN, name, why=f"it is the turn of {name}, one of {len(names)}{_passed(self._names, names)}"
        )


class Sticky(Sharing):
    """The same for every request of a session, by the highest hash of both names (Thaler and Ravishankar, 1998): where an agent
    goes or comes, or does not answer for a while, only the sessions move that it had or gets. Nothing is remembered."""

    def judge(self, question: RouteQuestion) -> Decision:
        if not question.session:
            return Decision(STICKY, None, why="the request belongs to no session")
        names = _answering(self._names, question)
        name = max(names, key=lambda each: _weight(question.session, each))
        return Decision(STICKY, name, why=f"the session stays with {name}{_passed(self._names, names)}")


class LeastLoaded(Sharing):
    """The one of which the least is taken; those that are equal in turn."""

    def judge(self, question: RouteQuestion) -> Decision:
        loads = _loads(self._names, question)
        least = min(loads.values())
        if least == inf:
            return Decision(LEAST_LOADED, None, why="nothing that serves any of them answers")
        name = self._turned([each for each in self._names if loads[each] == least])
        return Decision(
            LEAST_LOADED, name, _told(loads), why=f"{name} is the least busy: {least:.0%} of its slots are taken"
        )


class Priority(Sharing):
    """The first in the order written that has a free slot; where all are full, the least busy one."""

    def judge(self, question: RouteQuestion) -> Decision:
        loads = _loads(self._names, question)
        free = next((each for each in self._names if loads[each] < FULL), None)
        name = free or min(self._names, key=lambda each: loads[each])
        if loads[name] == inf:
            return Decision(PRIORITY, None, why="nothing that serves any of them answers")
        why = f"{name} is the first with a free slot" if free else f"all are full, and {name} is the least busy"
        return Decision(PRIORITY, name, _told(loads), why=why)


def fit_round_robin(candidates: tuple[Candidate, ...], options: StrategyOptions) -> RoundRobin:  # noqa: ARG001 - the table's shape
    """Nothing is learned."""
    return RoundRobin([candidate.name for candidate in candidates])


def fit_sticky(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Sticky:  # noqa: ARG001 - the table's shape
    """Nothing is learned."""
    return Sticky([candidate.name for candidate in candidates])


def fit_least_loaded(candidates: tuple[Candidate, ...], options: StrategyOptions) -> LeastLoaded:  # noqa: ARG001 - the table's shape
    """Nothing is learned."""
    return LeastLoaded([candidate.name for candidate in candidates])


def fit_priority(candidates: tuple[Candidate, ...], options: StrategyOptions) -> Priority:  # noqa: ARG001 - the table's shape
    """Nothing is learned."""
    return Priority([candidate.name for candidate in candidates])


def _weight(session: str, name: str) -> bytes:
    told = f"{len(session)} {session} {name}".encode(errors="surrogatepass")
    return hashlib.blake2b(told, digest_size=16).digest()


def _loads(names: Sequence[str], question: RouteQuestion) -> dict[str, float]:
    load = question.load
    return {name: load(name) if load is not None else 0.0 for name in names}


def _answering(names: Sequence[str], question: RouteQuestion) -> Sequence[str]:
    """Those that something serves which answers; all where that is so of none: each may have a way of its own then."""
    loads = _loads(names, question)
    return [name for name in names if loads[name] != inf] or names


def _passed(names: Sequence[str], taken: Sequence[str]) -> str:
    away = [name for name in names if name not in taken]
    return f"; what serves {', '.join(away)} does not answer" if away else ""


def _told(loads: dict[str, float]) -> dict[str, float]:
    """How much is free of each that answers, the most first: more is better, as in every score."""
    free = {name: round(FULL - load, 4) for name, load in loads.items() if load != inf}
    return dict(sorted(free.items(), key=lambda pair: -pair[1]))
