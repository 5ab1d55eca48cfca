"""Steps for model servers that we start: those that do not run as wanted, and those that nobody wants. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.core.blueprint import Blueprint
from orchestrator.plan import operation as op
from orchestrator.plan.generations import berth_of, one_more, outlives, processes_of, server_of, what_changed
from orchestrator.plan.observed import ObservedState, Prospect, StartedServer, server_name
from orchestrator.plan.started_words import port_taken

Entry = tuple[op.Operation, str, bool]


class Servers:
    """The servers of one blueprint against those that run."""

    def __init__(self, blueprint: Blueprint, observed: ObservedState) -> None:
        self._deployment = blueprint.name
        self._observed = observed
        self._aliases = [each.spec["alias"] for each in blueprint.of_kind("model") if each.spec["server"]]

    def begun(self, *, new: bool, gone: str) -> Iterator[Entry]:
        """What must be started before anything is bound to it, and what must be ``gone`` before that."""
        yield from self._ended_first(gone)
        for alias in self._aliases:
            name = server_name(self._deployment, alias)
            prospect = self._observed.prospects.get(name)
            if prospect is None or prospect.why:
                continue  # it cannot be started: the step of its model says why
            berth = berth_of(name, prospect, self._observed.started)
            changed = f"changed: {what_changed(berth.now.digest, prospect.digest)}" if berth.now else ""
            start = op.StartServer(alias, prospect.program, prospect.model, prospect.choice)
            if berth.how == "first":
                yield start, "the manifest adds it" if new else "it does not run", False
            elif berth.how == "beside":
                yield op.RotateServer(alias, prospect.program, prospect.model, prospect.choice), changed, False
            elif berth.how == "instead":
                yield (
                    op.RestartServer(alias, prospect.program, prospect.model, prospect.choice, prospect.apart),
                    changed,
                    False,
                )
            elif berth.now is not None and berth.now.state == "failed" and self._observed.retries:
                yield start, "it was given up, and may be mended", False
            elif one_more(name, prospect, self._observed.started):
                yield op.AddServer(alias, prospect.program, prospect.model), "its slots are busy", False

    def _ended_first(self, gone: str) -> Iterator[Entry]:
        """What must be gone before another one is started in its memory or at its port."""
        for server, (processes, why) in _first_of(self._observed, self._deployment).items():
            alias = server.partition("/")[2]
            goes = alias not in self._aliases
            all_ = goes and len(processes) == len(processes_of(server, self._observed.started))
            some = () if all_ else tuple(each.partition("/")[2] for each in processes)
            cause = gone if goes else "one less of it is there then"
            yield op.EndServer(alias, why, some), cause, goes

    def ended(self, cause: str) -> Iterator[Entry]:
        """What the blueprint has no use or no room for. While a revision drains, that one still uses it, and its end is what
        ends the server."""
        seen = self._observed.deployments.get(self._deployment)
        if seen is not None and seen.draining:
            return
        wanted = {server_name(self._deployment, alias) for alias in self._aliases}
        unfit = {name for name, each in self._observed.prospects.items() if each.unfit}
        first = _first_of(self._observed, self._deployment)
        for stop in stops(self._observed, self._deployment):
            name = server_name(self._deployment, stop.name)
            if name in first and len(first[name][0]) == len(processes_of(name, self._observed.started)):
                continue
            if name not in wanted:
                yield stop, cause, True
            elif name in unfit and any(each.state != "failed" for each in processes_of(name, self._observed.started)):
                yield stop, "it does not fit any more", True


def ends_first(prospects: Mapping[str, Prospect], started: Mapping[str, StartedServer], deployment: str) -> list[str]:
    """Processes of a deployment that are ended before others are started in their place. Those that only finish what they have
    begun, and those of other deployments, end by themselves."""
    names = dict.fromkeys(name for each in prospects.values() for name in each.first)
    mine = [started[name] for name in names if name in started and name.partition("/")[0] == deployment]
    return [each.name for each in mine if each.use != "draining" and each.state != "stopping"]


def _first_of(observed: ObservedState, deployment: str) -> dict[str, tuple[list[str], str]]:
    """By the server: which of its processes, and why."""
    found: dict[str, tuple[list[str], str]] = {}
    for name in ends_first(observed.prospects, observed.started, deployment):
        why = next(each.crowded for each in observed.prospects.values() if name in each.first)
        found.setdefault(server_of(name), ([], why))[0].append(name)
    return found


def stops(observed: ObservedState, deployment: str) -> list[op.StopServer]:
    """A step for each server of a deployment that runs and is not on its way out."""
    mine = [each for each in observed.started.values() if each.name.partition("/")[0] == deployment]
    running = dict.fromkeys(server_of(each.name) for each in mine if each.state != "stopping")
    return [op.StopServer(name.partition("/")[2]) for name in running]


def server_notes(observed: ObservedState) -> Iterator[str]:
    """What became of the options of each server that would be started, and what it takes of the memory; where that is more
    than it should, also of one that runs."""
    for name, prospect in observed.prospects.items():
        alias = name.partition("/")[2]
        if prospect.why:
            if outlives(prospect, observed.started) is not None:
                yield f"{alias}: its server goes on with what it has open, and could not be started again: {prospect.why}"
            continue
        berth = berth_of(name, prospect, observed.started)
        if berth.how != "there":
            yield from (f"{alias}: {note}" for note in prospect.notes)
        if berth.how != "there" or not (berth.now and berth.now.pid):  # given up for it, perhaps, or at rest
            taken = port_taken(prospect, observed.started)
            if taken:
                yield f"{alias}: {taken}, and its server is not started before that is free: write another `port`, or none"
        if berth.how != "there" and prospect.broken:
            yield f"{alias}: its server will not start: {prospect.broken}: put the whole file there, or mend `path`"
        if berth.how != "there" and prospect.need and not prospect.tight:
            yield f"{alias}: its server takes {prospect.need}"
        yield from (
            f"{alias}: {told}"
            for told in (_waits(prospect, observed), prospect.turns, prospect.tight, prospect.alone)
            if told
        )


def _waits(prospect: Prospect, observed: ObservedState) -> str:
    """For whose end it waits that nobody ends for it."""
    ended = ends_first(observed.prospects, observed.started, prospect.name.partition("/")[0])
    others = [name for name in prospect.first if name not in ended]
    return (
        f"its server is started once {' and '.join(others)} {'has' if len(others) == 1 else 'have'} ended: {prospect.crowded}"
        if others
        else ""
    )
