"""Servers of ours that take turns in memory: which of them may have a process now. Pure.

Who runs when is the scheduler's to decide, which sees who waits. This holds it to the limit whatever happens, also where the
scheduler knows nothing yet: while servers show their first tokens, after a crash, and after a runtime was killed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from orchestrator.deploy.server_records import ServerWant
from orchestrator.deploy.ward import Ward
from orchestrator.plan.generations import berth_of, server_of
from orchestrator.plan.observed import Prospect, StartedServer


@dataclass(frozen=True, slots=True)
class Shares:
    """``limit``: bytes that all servers may take together. ``yielding`` are those, by name, that make room for each other.
    ``first``: by process, those that go, and have ended before it is started."""

    limit: float = inf
    yielding: frozenset[str] = frozenset()
    first: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def why_not(self, ward: Ward, wards: Mapping[str, Ward]) -> str:
        """Why it may not be started now; empty where it may."""
        first = [name for name in self.first.get(ward.name, ()) if name in wards and _has_process(wards[name])]
        if first:
            return f"it is started once {' and '.join(sorted(first))} {'has' if len(first) == 1 else 'have'} ended"
        beside = self.crowd(ward, wards)
        return f"it takes turns in memory with {' and '.join(beside)}" if beside else ""

    def crowd(self, ward: Ward, wards: Mapping[str, Ward]) -> list[str]:
        """Those whose memory it waits for, also where it is one that stays; empty where it may be started. Where none of those that
        yield has a process it may always: what is held for good is the plan's to count."""
        others = [each for each in wards.values() if each is not ward]
        there = [each for each in others if self._yields(each) and _has_process(each)]
        taken = sum(each.memory for each in [*there, *self._firm(others)])
        return sorted(each.name for each in there) if taken + ward.memory > self.limit else []

    def is_contended(self, ward: Ward, wards: Mapping[str, Ward]) -> bool:
        """Whether it is one of those that do not all fit together."""
        others = [each for each in wards.values() if self._yields(each) and each.wanted]
        return self._yields(ward) and sum(each.memory for each in [*others, *self._firm(wards.values())]) > self.limit

    def held(self, wards: Mapping[str, Ward], bound: Collection[str]) -> tuple[int, bool]:
        """Bytes that servers take beside those that are ``bound`` as models of a memory, and whether one of them claims room to
        show its first token: also one that is bound as it was with other options. Of those that yield either what runs is counted,
        or what waits for it."""
        others = [each for name, each in wards.items() if name not in bound and each.state not in ("resting", "failed")]
        firm = sum(each.memory for each in others if not self._yields(each))
        run = sum(each.memory for each in others if self._yields(each) and not each.crowded)
        crowded = {name: each for name, each in wards.items() if each.crowded and self._yields(each)}
        claim = (each.memory for name, each in crowded.items() if not (name in bound and each.kept))
        wait = max(claim, default=0)
        return firm + max(run, wait), wait > 0

    def leaving(self, wards: Mapping[str, Ward], able: Collection[str]) -> list[str]:
        """Which of these make room for the first that waits for its turn; no more than it needs."""
        waiting = next((each for each in wards.values() if each.crowded and self.crowd(each, wards)), None)
        if waiting is None:
            return []
        others = [each for each in wards.values() if each is not waiting]
        stay = [each for each in others if self._yields(each) and _has_process(each) and each.state != "stopping"]
        lacking = sum(each.memory for each in [waiting, *stay, *self._firm(others)]) - self.limit
        found: list[str] = []
        for each in sorted(stay, key=lambda one: one.ready_since):
            if lacking > 0 and each.name in able:
                found.append(each.name)
                lacking -= each.memory
        return found

    def _yields(self, ward: Ward) -> bool:
        return server_of(ward.name) in self.yielding

    def _firm(self, wards: Collection[Ward]) -> list[Ward]:
        """Those that make room for nobody, and have or will have a process."""
        return [each for each in wards if not self._yields(each) and each.state not in ("resting", "failed")]


ALL_FIT: Final = Shares()
"""Nobody takes turns."""


def is_leaving(wants: Iterable[ServerWant], wanted: Collection[str], unread: Collection[str]) -> bool:
    """Whether one is there that took turns and is wanted no more: while it is, all go on as they did, as what drains may need it
    once more. One of a deployment that cannot be read (``unread``) is kept, but nothing calls it, and it may be there for good."""
    return any(
        want.turns and server_of(want.name) not in wanted and want.name.partition("/")[0] not in unread
        for want in wants
    )


def gone_first(prospects: Iterable[Prospect], started: Mapping[str, StartedServer]) -> dict[str, frozenset[str]]:
    """By process, those that have ended before it is started."""
    return {berth_of(each.name, each, started).process: frozenset(each.first) for each in prospects if each.first}


def in_order(wants: Iterable[ServerWant]) -> list[ServerWant]:
    """Those that stay first. Of those that take turns the first that is named is shown last, and stays till another is needed."""
    all_ = list(wants)
    return [*(each for each in all_ if not each.turns), *(each for each in reversed(all_) if each.turns)]


def _has_process(ward: Ward) -> bool:
    return ward.lives or ward.spawning
