"""Processes of servers that go, and those that come in their memory or at their port: which end before which start. Pure.

One that goes holds its memory until it has ended, so what comes in its place waits for that. Of the deployment that is planned it
is ended first; an additional process of another deployment is given up by that one, and its end is only waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from orchestrator.core.memory import Budget
from orchestrator.plan.generations import berth_of, instances_of, processes_of, server_of
from orchestrator.plan.needs import Sized
from orchestrator.plan.observed import Prospect, StartedServer
from orchestrator.plan.pools import Hold
from orchestrator.plan.several import as_it_runs

_NO_PROCESS: Final = frozenset(("waiting", "resting", "failed"))


def has_process(each: StartedServer) -> bool:
    """Whether it holds memory now; one that waits for its start, rests, or was given up does not."""
    return each.state not in _NO_PROCESS


def going(
    deployment: str, wanted: Mapping[str, Prospect], started: Mapping[str, StartedServer]
) -> dict[str, StartedServer]:
    """Processes of a deployment that it has no use for any more: of servers that are wanted no longer, or more than shall run."""
    mine = {name: each for name, each in started.items() if name.partition("/")[0] == deployment}
    kept = {name for server, prospect in wanted.items() for name in _kept(server, prospect, started)}
    return {name: each for name, each in mine.items() if has_process(each) and name not in kept}


def _kept(server: str, prospect: Prospect, started: Mapping[str, StartedServer]) -> Iterable[str]:
    mine = processes_of(server, started)
    if prospect.unfit:
        return []
    if prospect.why:  # it cannot be started, and may go on with what it has open
        return [each.name for each in mine]
    berth = berth_of(server, prospect, started)
    stay = [each.name for each in instances_of(server, prospect, started)]
    if berth.how != "instead" and not (berth.now and berth.now.answers and berth.now.digest == prospect.digest):
        stay += [each.name for each in mine if each.use == "live"]  # it serves till the new one does
    return [berth.process, *stay]


def spare(deployment: str, started: Mapping[str, StartedServer]) -> frozenset[str]:
    """Processes of other deployments that share the work of another one which is there: they make room for a first one."""
    others = [each for name, each in started.items() if name.partition("/")[0] != deployment]
    kinds = groupby(sorted(others, key=_likeness), key=_likeness)
    return frozenset(
        each.name for _, same in kinds for each in sorted(same, key=lambda one: (not one.answers, one.name))[1:]
    )


def _likeness(each: StartedServer) -> tuple[str, str]:
    return server_of(each.name), each.digest


@dataclass(frozen=True, slots=True)
class Before:
    """Processes that are gone ``first``, and ``why``."""

    first: tuple[str, ...] = ()
    why: str = ""


def before(
    one: Sized,
    goes: Mapping[str, StartedServer],
    yields: Collection[str],
    room: Callable[[Mapping[str, Hold]], Budget | None],
) -> Before:
    """Which of those that go are gone before this one starts. Those that ``yields`` names come last: they have work. ``room`` is
    what is left beside what stays and these; ``None`` where nobody knows."""
    port = one.spec["server"]["port"] if one.spec["server"] else None
    at_port = [name for name, each in goes.items() if port and each.url.endswith(f":{port}")]
    held = {name: each for name, each in goes.items() if name not in at_port}
    left, first = dict(held), list(at_port)
    for name in sorted(
        held, key=lambda each: (each in yields, goes[each].state != "stopping", goes[each].use == "live")
    ):
        beside = room(_holds(left))
        if beside is None or beside.fit(one.need) == "fits":
            break
        del left[name]
        first.append(name)
    if not first:
        return Before()
    if len(first) == len(at_port):
        return Before(tuple(first), f"both would need port {port} (without `port` each gets a free one)")
    told = f"both do not fit, {one.spec['alias']} needs {one.need}; models may take {room(_holds(held))}"
    return Before(tuple(first), told)


def _holds(processes: Mapping[str, StartedServer]) -> dict[str, Hold]:
    return {as_it_runs(each): Hold(each.memory, each.cards) for each in processes.values()}
