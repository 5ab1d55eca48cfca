"""What must be done so that what runs is what is wanted. Applied twice, the second plan is empty. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, Element, ModelSpec
from orchestrator.plan import operation as op
from orchestrator.plan.binding import Bound, bind_all
from orchestrator.plan.budgets import device_budget
from orchestrator.plan.capacity import memory_notes
from orchestrator.plan.fetches import fetches
from orchestrator.plan.notices import untold_notes
from orchestrator.plan.observed import Facets, ObservedDeployment, ObservedState
from orchestrator.plan.plan import Plan, numbered
from orchestrator.plan.residence import cache_notes, unmanaged_notes
from orchestrator.plan.servers import Servers, server_notes, stops
from orchestrator.plan.serving import unsure_notes, who_serves
from orchestrator.plan.tokens import narrow_notes
from orchestrator.plan.unserved import foreign_at
from orchestrator.plan.wanted import DOOR, has_own_door, wanted_parts
from orchestrator.ports.provider import TOO_OLD, WRONG_KEY

Entry = tuple[op.Operation, str, bool]
NEW: Final = "the manifest adds it"
GONE: Final = "the manifest no longer has it"
_ORDER: Final = ("model", "tool", "knowledge", "agent", "router")
"""What is used is ready before what uses it."""
_NOTHING: Final = ObservedDeployment("", 0, "")
MESH_NOTE: Final = "this manifest spans several nodes; the plan is of one machine that does all of it"


def diff(blueprint: Blueprint, observed: ObservedState) -> Plan:
    """The plan for one deployment: parts in the order in which they are needed, then the switch, then what is taken away."""
    bound = bind_all(blueprint, observed)
    seen = observed.deployments.get(blueprint.name, _NOTHING)
    fetched = (
        {alias: each.does() for alias, each in fetches(blueprint, observed, bound).items()} if observed.pulls else {}
    )
    change = _Change(blueprint, seen, wanted_parts(blueprint, bound, observed.contents), bound, fetched)
    servers = Servers(blueprint, observed)
    steps = [
        *servers.begun(new=change.seen is _NOTHING, gone=GONE),
        *change.made(),
        *change.door_opened(),
        *change.left_out(),
    ]
    # One more process changes nothing that serves before it is ready: then it is bound, by a plan of its own.
    steps += change.switched([step for step in steps if not isinstance(step[0], op.AddServer)])
    steps += [*change.closed(), *servers.ended(GONE)]
    budget = device_budget(blueprint, observed.device)
    notes = [*_notes(blueprint, observed, bound), *memory_notes(blueprint, bound, observed)]
    notes += [*unmanaged_notes(blueprint, bound, budget.limit if budget else None), *cache_notes(blueprint, bound)]
    return Plan(blueprint.name, numbered(steps), who_serves(blueprint, bound), tuple(notes))


def take_down(observed: ObservedState, name: str) -> Plan:
    """The plan that ends a deployment; empty where none of that name serves."""
    seen = observed.deployments.get(name)
    if seen is None:
        return Plan(name)
    cause = "it is taken down"
    steps: list[Entry] = [(op.TakeDown(name), cause, True)]
    if has_own_door(seen.parts):
        steps.append((op.CloseDoor(DOOR.name), cause, False))
    steps.append((op.DrainRevision(name, seen.revision), cause, False))
    steps += [(closing, cause, False) for closing in _closings(seen.parts, ())]
    steps += [(stop, cause, False) for stop in stops(observed, name)]
    return Plan(name, numbered(steps))


def _notes(blueprint: Blueprint, observed: ObservedState, bound: Mapping[str, Bound]) -> Iterator[str]:
    if blueprint.type == "distributed-edge" and not blueprint.node:
        yield MESH_NOTE
    used = {endpoint.id.partition("/")[0] for each in bound.values() for endpoint in each.endpoints}
    for server in observed.servers:
        too_old = next((note for note in server.notes if TOO_OLD in note), "")
        if too_old and f"{server.provider}@{urlsplit(server.api_base).netloc}" in used:
            yield f"[ORC422] {server.provider} at {server.url}: {too_old}"
    for element in blueprint.of_kind("model"):
        foreign = foreign_at(cast(ModelSpec, element.spec), observed)
        if WRONG_KEY in foreign:
            yield f"[ORC523] {element.spec['endpoint']} of {element.spec['alias']} is closed to us: {foreign}"
        elif foreign:
            yield f"[ORC423] {element.spec['endpoint']} of {element.spec['alias']} is no model server: {foreign}"
    yield from server_notes(observed)
    yield from unsure_notes(blueprint, bound, observed)
    yield from narrow_notes(blueprint, bound)
    yield from untold_notes(blueprint, observed.locked)
    port = blueprint.serve.port
    if port is not None and port in observed.taken_ports:
        yield observed.taken_ports[port]


class _Change:
    """One blueprint against one observed deployment."""

    def __init__(
        self,
        blueprint: Blueprint,
        seen: ObservedDeployment,
        wanted: Mapping[str, Facets],
        bound: Mapping[str, Bound],
        fetched: Mapping[str, str],
    ) -> None:
        self.blueprint = blueprint
        self.seen = seen
        self.wanted = wanted
        self.bound = bound
        self.fetched: dict[str, str] = {Address.of("model", alias): does for alias, does in fetched.items()}

    def made(self) -> Iterator[Entry]:
        """Parts that are new or other than before."""
        for kind in _ORDER:
            for element in self.blueprint.elements.values():
                if element.kind != kind:
                    continue
                if element.address in self.fetched:
                    alias = element.spec["alias"]
                    fetch = op.FetchModel(alias, self.bound[alias], self.fetched[element.address])
                    yield fetch, self.bound[alias].told, False
                elif self._differs(element.address):
                    yield self._make(element), self._cause(element), False

    def door_opened(self) -> Iterator[Entry]:
        """An own port, where the manifest asks for another one than is open."""
        serve = self.blueprint.serve
        if serve.port is not None and self._differs(DOOR):
            yield op.OpenDoor(DOOR.name, serve.host, serve.port), self._why(DOOR), False

    def left_out(self) -> Iterator[Entry]:
        """Agents, routers and models that the new revision does not have."""
        for address in self._gone():
            kind, name = Address(address).kind, Address(address).name
            if kind in _REMOVALS:
                yield _REMOVALS[kind](name), GONE, True

    def switched(self, before: list[Entry]) -> list[Entry]:
        """The switch of requests, where anything changes at all."""
        name, whole = self.blueprint.name, Address.of("deployment", self.blueprint.name)
        if self.seen is _NOTHING:
            return [(op.ActivateRevision(name), NEW, False)]
        if not before and not self._differs(whole) and not self._gone() and not self._door_moves():
            return []
        cause = self._why(whole) if self._differs(whole) else "parts of it change"
        drain = op.DrainRevision(name, self.seen.revision)
        return [(op.SwitchRevision(name), cause, False), (drain, "they keep what they began with", False)]

    def closed(self) -> Iterator[Entry]:
        """What nobody uses once the old revision is drained."""
        if self._door_moves() and has_own_door(self.seen.parts):
            yield op.CloseDoor(DOOR.name), self._why(DOOR), False
        for closing in _closings(self.seen.parts, self.wanted):
            yield closing, GONE, True

    def _door_moves(self) -> bool:
        return self.seen is not _NOTHING and self._differs(DOOR)

    def _gone(self) -> list[str]:
        return [address for address in self.seen.parts if address not in self.wanted]

    def _differs(self, address: str) -> bool:
        return self.seen.parts.get(address) != self.wanted[address]

    def _cause(self, element: Element) -> str:
        bound = self.bound[element.spec["alias"]] if element.kind == "model" else None
        if bound is not None and not bound.endpoints and not bound.starting:
            return bound.told
        return self._why(element.address)

    def _why(self, address: str) -> str:
        before = self.seen.parts.get(address)
        if before is None:
            return NEW
        now = self.wanted[address]
        sides = [side for side in {**before, **now} if before.get(side) != now.get(side)]
        return f"changed: {', '.join(sides)}"

    def _make(self, element: Element) -> op.Operation:
        fresh = element.address not in self.seen.parts
        return _MAKERS[element.kind](element, fresh, self.bound)


def _model(element: Element, fresh: bool, bound: Mapping[str, Bound]) -> op.Operation:
    alias = element.spec["alias"]
    if not bound[alias].endpoints and not bound[alias].starting:
        return op.ServeWithoutModel(alias, bound[alias])
    return op.BindModel(alias, bound[alias]) if fresh else op.RebindModel(alias, bound[alias])


def _tool(element: Element, fresh: bool, _: Mapping[str, Bound]) -> op.Operation:
    return (op.OpenTool if fresh else op.ReplaceTool)(element.spec["name"], element.spec["kind"])


def _knowledge(element: Element, fresh: bool, _: Mapping[str, Bound]) -> op.Operation:
    return (op.IndexKnowledge if fresh else op.ReindexKnowledge)(element.spec["name"], element.spec["path"])


def _agent(element: Element, fresh: bool, _: Mapping[str, Bound]) -> op.Operation:
    return (op.StartAgent if fresh else op.ReplaceAgent)(element.spec["name"])


def _router(element: Element, fresh: bool, _: Mapping[str, Bound]) -> op.Operation:
    return (op.FitRouter if fresh else op.RefitRouter)(element.spec["name"], element.spec["strategy"])


_MAKERS: Final[Mapping[str, Callable[[Element, bool, Mapping[str, Bound]], op.Operation]]] = {
    "model": _model,
    "tool": _tool,
    "knowledge": _knowledge,
    "agent": _agent,
    "router": _router,
}
_REMOVALS: Final[Mapping[str, type[op.ForgetModel | op.RemoveAgent | op.RemoveRouter]]] = {
    "model": op.ForgetModel,
    "agent": op.RemoveAgent,
    "router": op.RemoveRouter,
}


def _closings(seen: Mapping[str, Facets], wanted: Mapping[str, Facets] | tuple[()]) -> list[op.Operation]:
    gone = [Address(address) for address in seen if address not in wanted]
    tools: list[op.Operation] = [op.CloseTool(address.name) for address in gone if address.kind == "tool"]
    return [*tools, *(op.CloseKnowledge(address.name) for address in gone if address.kind == "knowledge")]
