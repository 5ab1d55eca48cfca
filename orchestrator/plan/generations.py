"""Which process of a model's server is which, while it changes: the one that serves, and the one that comes beside it. Pure.

The server of a model has one name, DEPLOYMENT/ALIAS. A process that is started beside another one of it adds a number:
DEPLOYMENT/ALIAS#2. Numbers are used again, so that there are no more logs than processes ran at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

from orchestrator.plan.observed import Prospect, StartedServer

_NUMBER: Final = "#"
_STAMP: Final = "."


def server_of(process: str) -> str:
    """The name of the server that a process is of."""
    return process.partition(_NUMBER)[0]


def process_name(server: str, number: int) -> str:
    """The name of one of its processes, from 1."""
    return server if number == 1 else f"{server}{_NUMBER}{number}"


def want_digest(order: str, stamp: str) -> str:
    """The digest of a wanted server, from that of its order and of the model's files, which may be empty."""
    return f"{order}{_STAMP}{stamp}" if stamp else order


def what_changed(before: str, after: str) -> str:
    """Which part of such a digest did."""
    order, other = before.partition(_STAMP)[0], after.partition(_STAMP)[0]
    return "options of its server" if order != other else "the file of its model"


def processes_of(server: str, started: Mapping[str, StartedServer]) -> list[StartedServer]:
    """All that are there, by their numbers."""
    mine = [each for each in started.values() if server_of(each.name) == server]
    return sorted(mine, key=lambda each: (len(each.name), each.name))


def serving(server: str, started: Mapping[str, StartedServer]) -> StartedServer | None:
    """The one that is ready, or rests, and that new requests go to."""
    mine = processes_of(server, started)
    return next((each for each in mine if each.answers and each.use == "live"), None)


@dataclass(frozen=True, slots=True)
class Berth:
    """Which ``process`` is to run as it is wanted, by its name: one that is ``there``, a ``first`` one, one ``beside`` another that
    serves, or one ``instead`` of another, which is ended first. ``now`` is the one that is there, or that it comes beside or
    instead of."""

    process: str
    how: Literal["there", "first", "beside", "instead"]
    now: StartedServer | None = None


def berth_of(server: str, prospect: Prospect, started: Mapping[str, StartedServer]) -> Berth:
    """Where a server that is wanted like this is, or shall be."""
    mine, old = processes_of(server, started), serving(server, started)
    same = [each for each in mine if each.digest == prospect.digest and (not _leaves(each) or old is None)]
    if same:
        best = min(same, key=lambda each: not each.answers)
        return Berth(best.name, "there", best)
    if not mine:
        return Berth(server, "first")
    if old is None or prospect.apart:
        now = old or mine[0]
        return Berth(now.name, "instead", now)
    taken = {each.name for each in mine if each.use or each.state == "stopping"}
    return Berth(_free_name(server, taken), "beside", old)


def crowded_out(prospects: Iterable[Prospect], started: Mapping[str, StartedServer]) -> list[str]:
    """The processes that were given up and have no room any more: what runs took it."""
    unfit = [each.name for each in prospects if each.unfit]
    return [each.name for name in unfit for each in processes_of(name, started) if each.state == "failed"]


def outlives(prospect: Prospect, started: Mapping[str, StartedServer]) -> StartedServer | None:
    """The process that runs as it is wanted although it could not be started now, because its file or its program is gone:
    what it has open is enough for it. ``None`` where none does, or where it must not."""
    if not prospect.why or prospect.refused or prospect.unfit:
        return None
    berth = berth_of(prospect.name, prospect, started)
    return berth.now if berth.how == "there" and berth.now is not None and berth.now.state == "ready" else None


def instances_of(server: str, prospect: Prospect, started: Mapping[str, StartedServer]) -> list[StartedServer]:
    """Processes that run as it is wanted, no more than shall run: those that are ready first."""
    same = [each for each in processes_of(server, started) if each.digest == prospect.digest]
    alive = [each for each in same if not _leaves(each)]
    return sorted(alive, key=lambda each: not each.answers)[: prospect.instances]


def one_more(server: str, prospect: Prospect, started: Mapping[str, StartedServer]) -> str:
    """The name for one more process of a server that is ready and shall have more; empty where there is no need."""
    there = instances_of(server, prospect, started)
    if not there or there[0].state != "ready" or len(there) >= prospect.instances:
        return ""
    return _free_name(server, {each.name for each in processes_of(server, started)})


def _leaves(process: StartedServer) -> bool:
    """Whether it is on its way out; not where it only comes to rest."""
    return process.state == "stopping" and not process.rests


def _free_name(server: str, taken: Collection[str]) -> str:
    return next(name for number in count(1) if (name := process_name(server, number)) not in taken)


def takes_over(server: str, berth: Berth, first: Iterable[str], started: Mapping[str, StartedServer]) -> bool:
    """Whether another process serves until it is started: that one stays until it is ready, or is ended right before."""
    if comes_beside(server, berth, started):
        return True
    if berth.how == "instead":
        return serving(server, started) is not None
    if berth.how == "there":
        return berth.now is not None and berth.now.finishes
    mine = [started[name] for name in first if name.partition("/")[0] == server.partition("/")[0] and name in started]
    return berth.how == "first" and any((each.answers or each.finishes) and each.use == "live" for each in mine)


def comes_beside(server: str, berth: Berth, started: Mapping[str, StartedServer]) -> bool:
    """Whether it is not ready yet, and another one serves until it is."""
    if berth.how == "there":
        return berth.now is not None and not berth.now.answers and serving(server, started) is not None
    return berth.how == "beside"
