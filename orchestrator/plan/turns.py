"""Servers that we start, each of which fits into memory while not all of them do: they take turns. Pure.

One that takes turns needs room beside what nobody gives up, not beside the others that take turns: those rest for it. Who
runs when is not decided here but by the scheduler, as for models that are loaded on request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from orchestrator.core.blueprint import Blueprint, ModelSpec
from orchestrator.core.memory import Budget
from orchestrator.core.quantity import format_size
from orchestrator.plan.observed import Prospect, StartedServer, server_name
from orchestrator.plan.pools import Hold
from orchestrator.plan.residence import never_rests, server_may_rest
from orchestrator.plan.wish import ON_REQUEST

WAITS: Final = "a request may wait while its server is started"


def may_turn(blueprint: Blueprint) -> frozenset[str]:
    """Aliases whose servers can be ended for another one's. A pinned one stays, whatever waits."""
    specs = [cast(ModelSpec, each.spec) for each in blueprint.of_kind("model")]
    return frozenset(each["alias"] for each in specs if _can_rest(each) and not each["pinned"])


def may_rest(blueprint: Blueprint) -> set[str]:
    """Servers, by name, that their manifest has rest while nobody needs them."""
    unloads = blueprint.resources.get("auto_unload_idle_models")
    specs = [cast(ModelSpec, each.spec) for each in blueprint.of_kind("model")]
    rest = [each for each in specs if server_may_rest(each["keep_alive"], unloads, pinned=each["pinned"])]
    return {server_name(blueprint.name, each["alias"]) for each in rest if _can_rest(each)}


def _can_rest(spec: ModelSpec) -> bool:
    server = spec["server"]
    return server is not None and server["kind"] not in ON_REQUEST and not never_rests(spec)


def serves_more(found: Mapping[str, Prospect], before: Mapping[str, Prospect]) -> bool:
    """Whether turns have a server started that had no room, and take none away."""
    unfit, were = ({name for name, each in some.items() if each.unfit} for some in (found, before))
    return unfit < were


@dataclass(frozen=True, slots=True)
class Others:
    """What servers of other deployments take, by name. Those in ``turning`` take turns already, those in ``resting`` may rest by
    their manifest: both make room for one that takes turns."""

    held: Mapping[str, Hold] = field(default_factory=dict)
    turning: frozenset[str] = frozenset()
    resting: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        name: str,
        started: Mapping[str, StartedServer],
        blueprints: Iterable[Blueprint],
        yielding: Collection[str] = (),
    ) -> Others:
        """Those that are started, but for the deployment of this name, and for processes that are ``yielding`` to it."""
        there = {
            server: each
            for server, each in started.items()
            if each.memory and server.partition("/")[0] != name and server not in yielding
        }
        return cls(
            {server: Hold(each.memory, each.cards) for server, each in there.items()},
            frozenset(server for server, each in there.items() if each.turns),
            frozenset(server for blueprint in blueprints for server in may_rest(blueprint) if server in there),
        )

    @property
    def making_room(self) -> dict[str, Hold]:
        """Those that rest for one that takes turns."""
        return {name: each for name, each in self.held.items() if name in self.turning | self.resting}

    def beside(self, *, turns: bool) -> dict[str, Hold]:
        """What a server must have room beside: for one that takes turns what nobody gives up; for any other one all, of those
        that take turns the largest."""
        if turns:
            return {name: each for name, each in self.held.items() if name not in self.making_room}
        taking = [(name, each) for name, each in self.held.items() if name in self.turning]
        largest = [max(taking, key=lambda one: one[1].size)] if taking else []
        return {name: each for name, each in self.held.items() if name not in self.turning} | dict(largest)


def told(alias: str, taking: Mapping[str, Hold], others: Others, room: Budget) -> str:
    """With whom it takes turns, with the arithmetic. ``taking``: all of its deployment that do."""
    sizes = {name: each.size for name, each in {**taking, **others.making_room}.items() if name != alias and each.size}
    sums = " + ".join(format_size(size) for size in (taking[alias].size, *sizes.values()))
    return f"takes turns with {_listed(list(sizes))}: {sums} of {room}: {WAITS}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
