"""Between what is desired and the servers that we start: what each would be, which are begun, waited for and ended.

Steps that start servers come before all others. An apply waits for them outside the owner's inbox, as a model may take
minutes to load and others are served meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final

import anyio
import anyio.to_thread

from orchestrator.core.blueprint import Blueprint
from orchestrator.core.event import Event
from orchestrator.deploy.desired import Desired
from orchestrator.deploy.prospects import Looked, look_at, wants_of
from orchestrator.deploy.server_records import ServerWant
from orchestrator.deploy.servers import Servers
from orchestrator.deploy.supervisor import END_SECONDS
from orchestrator.deploy.yard import Yard
from orchestrator.plan import operation as op
from orchestrator.plan.observed import Prospect, server_name
from orchestrator.plan.plan import Plan, Step
from orchestrator.plan.started import Neighbours, fitted
from orchestrator.ports.device import Device

Tell = Callable[[str, Mapping[str, Any]], None]
NOT_WANTED: Final = "it is not wanted any more"
ADOPTED_WITHIN: Final = 2.0
"""Seconds that servers which were taken over have to show that they answer, before anything is planned without them."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An apply that is recorded. ``waits`` are servers that it waits for; without any, it is carried out already."""

    desired: Desired
    plan: Plan
    began: float
    waits: frozenset[str] = frozenset()


class Starting:
    """Owned by the reconciler. ``on_change`` hears that a server became ready or was given up; ``device`` is what was last
    seen of this machine."""

    def __init__(
        self,
        yard: Yard | None,
        emit: Callable[[Event], None],
        on_change: Callable[[str], None],
        device: Callable[[], Device | None],
    ) -> None:
        self.servers = Servers(yard, emit, on_change)
        self._yard = yard
        self._device = device
        self._looked: dict[str, list[Looked]] = {}
        self._blueprints: list[Blueprint] = []

    # -- looking ----------------------------------------------------------------------------------------------------

    async def look(self, blueprints: Iterable[Blueprint]) -> None:
        """What starting each wanted server would be now: a program may have come or gone since."""
        yard = self._yard
        self._blueprints = list(blueprints)
        if yard is None:
            return
        for want in [want for blueprint in self._blueprints for want in self._wants(blueprint)]:
            program = yard.program(want.kind)
            self._looked[want.name] = await anyio.to_thread.run_sync(look_at, want, yard.launch, program)

    def prospects(self, blueprint: Blueprint) -> dict[str, Prospect]:
        """What was found for a blueprint, by the server's name: with the build that fits beside all servers that run, or why
        none does."""
        names = [name for name in server_names(blueprint) if name in self._looked]
        startables = {name: [each.startable for each in self._looked[name]] for name in names}
        others = {other.name: other for other in self._blueprints if other.name != blueprint.name}
        around = Neighbours(self.servers.observed(), tuple(others.values()), self._device())
        return fitted(blueprint, startables, around) if names else {}

    def held(self) -> int:
        """Bytes that all servers take which were started."""
        return sum(each.memory for each in self.servers.observed().values())

    # -- starting ---------------------------------------------------------------------------------------------------

    async def restore(self) -> None:
        """Take over what an earlier life of this process left running."""
        await self.servers.restore()
        with anyio.move_on_after(ADOPTED_WITHIN):
            for name in list(self.servers.observed()):
                await self.servers.settled(name)

    def begin(self, blueprint: Blueprint, plan: Plan, tell: Tell) -> frozenset[str]:
        """Have every server of a blueprint started that can be, and tell the steps; gives those that are not ready."""
        wants = self._startable(blueprint)
        for step in server_steps(plan):
            tell("started", step.as_json())
        for want in wants:
            self.servers.want(want)
        observed = self.servers.observed()
        return frozenset(want.name for want in wants if observed[want.name].state != "ready")

    def begin_missing(self, blueprint: Blueprint, plan: Plan, tell: Tell) -> None:
        """The same for the servers of the plan only, and without anybody who waits: a step is done when it is begun."""
        steps = server_steps(plan)
        names = {server_name(plan.deployment, step.operation.name) for step in steps}
        for step in steps:
            tell("started", step.as_json())
        for want in self._startable(blueprint):
            if want.name in names:
                self.servers.want(want)
        for step in steps:
            tell("done", step.as_json() | {"took_ms": 0.0})

    async def see_through(self, plan: Plan, names: Iterable[str], tell: Tell) -> None:
        """Wait until each is ready or given up, and tell the step that started it. That one cannot be had ends nothing:
        what can answer without it does."""
        steps = {server_name(plan.deployment, step.operation.name): step for step in server_steps(plan)}
        began = perf_counter()

        async def wait(name: str) -> None:
            server = await self.servers.settled(name)
            step = steps[name].as_json() if name in steps else _begun_before(name)
            if server is None or server.state != "ready":
                tell("failed", step | {"error": {"message": server.why if server else NOT_WANTED}})
            elif name in steps:
                tell("done", step | {"took_ms": round((perf_counter() - began) * 1e3, 3)})

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(wait, name)

    def doubt(self, bases: Iterable[str]) -> None:
        """At these addresses calls make no progress: servers of ours there must prove themselves again."""
        places = list(bases)
        for name, server in self.servers.observed().items():
            if server.state == "ready" and any(base.startswith(f"{server.url}/") for base in places):
                self.servers.doubt(name)

    # -- ending -----------------------------------------------------------------------------------------------------

    async def end_others(self, blueprints: Iterable[Blueprint], unreadable: Iterable[str]) -> None:
        """End those that none of these blueprints wants or may have, and wait until nothing is left of them. Deployments that
        cannot be read keep theirs until they are applied again."""
        wanted = {name for blueprint in blueprints for name in self._allowed(blueprint)}
        unread = set(unreadable)
        wanted |= {name for name in self.servers.observed() if name.partition("/")[0] in unread}
        self.servers.keep(wanted)
        with anyio.move_on_after(END_SECONDS):
            await self.servers.ended(set(self.servers.observed()) - wanted)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _wants(self, blueprint: Blueprint) -> list[ServerWant]:
        return wants_of(blueprint, self._yard.models) if self._yard else []

    def _startable(self, blueprint: Blueprint) -> list[ServerWant]:
        able = [prospect for prospect in self.prospects(blueprint).values() if not prospect.why]
        return [
            replace(each.want, memory=prospect.memory)
            for prospect in able
            for each in self._looked[prospect.name]
            if each.want.digest == prospect.digest
        ]

    def _allowed(self, blueprint: Blueprint) -> list[str]:
        """Those that it wants, less those for which its limit has no room any more."""
        prospects = self.prospects(blueprint)
        return [name for name in server_names(blueprint) if name not in prospects or not prospects[name].unfit]


def server_names(blueprint: Blueprint) -> list[str]:
    """Names of the servers that a blueprint wants."""
    models = [each.spec for each in blueprint.of_kind("model") if each.spec["server"]]
    return [server_name(blueprint.name, spec["alias"]) for spec in models]


def server_steps(plan: Plan) -> list[Step]:
    """The steps of a plan that start a server."""
    return [step for step in plan.steps if isinstance(step.operation, op.StartServer)]


def _begun_before(name: str) -> dict[str, Any]:
    """A server whose start was under way before this plan: it has no step of its own."""
    operation = op.StartServer(name.partition("/")[2], "its server")
    return {
        "action": "StartServer",
        "address": str(operation.address),
        "mark": operation.mark,
        "does": operation.does(),
    }
