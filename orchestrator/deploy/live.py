"""Every deployment that serves, and every revision that finishes what it has begun. What nobody holds is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from orchestrator.core.blueprint import Blueprint, ServeSpec
from orchestrator.core.errors import DeployError, OrchestratorError, PortTaken
from orchestrator.core.event import Event, EventKind
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.deploy.alongside import Alongside, NoServers
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.joined import kept, shared
from orchestrator.deploy.plane import Door, RequestPlane, Serving
from orchestrator.deploy.residence import PoolLimits
from orchestrator.deploy.resting import agreed, in_turns, processes_called, processes_that_rest
from orchestrator.deploy.told import ToldOf
from orchestrator.plan.observed import Facets, ObservedDeployment, ObservedState, Pin, ServerUse
from orchestrator.plan.plan import AgentServing
from orchestrator.plan.pressure import pressure_of
from orchestrator.plan.serving import answered
from orchestrator.ports.strategy import Ages
from orchestrator.ports.tool import Tool

declare(
    "activate.begun",
    "activate.endpoints-set",
    "activate.switched",
    "drain.begun",
    "drain.emptied",
    "drain.closed",
    "down.removed",
)


CUT_SECONDS: Final = 2.0
"""How long requests that are cancelled may take to end; a function in a thread cannot be cancelled."""
CLOSING_SECONDS: Final = 5.0
"""The longest that closing one tool may take: what another package wrote may hang, and a drain must end."""
CUT: Final = "the deployment was stopped before the request had its answer"


@dataclass(frozen=True, slots=True)
class Live:
    """One revision as it runs: what it is made of, who runs it, its own port, and who answers for each agent."""

    deployment: Deployment
    parts: Mapping[str, Facets]
    serving: Serving
    door: Door | None = None
    agents: tuple[AgentServing, ...] = ()


OTHER_VECTORS: Final = "vectors of its encoder"
"""The side of a router that has changed where its encoder gives other vectors than those that it learned from."""


@dataclass(slots=True, eq=False)
class Drain:
    """A revision that gets no new requests. ``left`` is how many were still in work when its time was over, and were
    cancelled."""

    live: Live
    done: anyio.Event = field(default_factory=anyio.Event)
    left: int = 0

    def cut(self) -> None:
        """Cancel what is still in work."""
        self.left += self.live.serving.in_flight
        self.live.serving.cancel(CUT)


async def _nothing_more() -> None:
    """Nobody else holds anything for a revision."""


class LiveTable:
    """The owner of everything that is live; only the reconciler changes it, and gives it the ``tasks`` for its drains and
    what else is to be ended ``after`` a drain, and the servers that are started ``alongside``."""

    tasks: TaskGroup
    after: Callable[[], Awaitable[None]] = staticmethod(_nothing_more)
    alongside: Alongside = NoServers()

    def __init__(self, plane: RequestPlane, emit: Callable[[Event], None], now: Callable[[], float]) -> None:
        self.plane = plane
        self._emit = emit
        self._now = now
        self._live: dict[str, Live] = {}
        self._drains: list[Drain] = []
        self._endpoints: dict[str, EndpointSpec] = {}
        self._resting: set[str] = set()
        self._beside: tuple[object, ...] = ()
        self._told = ToldOf()

    # -- looking ----------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Live | None:
        """The deployment of this name that serves now."""
        return self._live.get(name)

    def names(self) -> list[str]:
        """Deployments that serve now."""
        return list(self._live)

    def observed(self) -> dict[str, ObservedDeployment]:
        """What serves now, as the planner sees it."""
        return {name: self._observed(live) for name, live in self._live.items()}

    def _observed(self, live: Live) -> ObservedDeployment:
        deployment = live.deployment
        draining = [each.live for each in self._drains if each.live.deployment.name == deployment.name]
        return ObservedDeployment(
            name=deployment.name,
            revision=deployment.revision,
            digest=deployment.blueprint.digest,
            parts=_as_they_are(live),
            in_flight=live.serving.in_flight + sum(each.serving.in_flight for each in draining),
            draining=tuple(each.deployment.revision for each in draining),
            pinned=tuple(_pinned(deployment)),
            answered=answered(live.agents),
        )

    def revision_of(self, name: str) -> int | None:
        """The number of the revision that serves now."""
        live = self._live.get(name)
        return live.deployment.revision if live else None

    def tools_of(self, name: str) -> Mapping[str, Tool]:
        """The tools of a deployment that serve now."""
        live = self._live.get(name)
        return live.deployment.tools if live else {}

    def taken_ports(self, blueprint: Blueprint) -> dict[int, str]:
        """Why it cannot have the port that it wants, where that is not its own already."""
        serve, live = blueprint.serve, self._live.get(blueprint.name)
        if serve.port is None or (live is not None and live.deployment.blueprint.serve == serve):
            return {}
        holder = self._holder_of_port(blueprint)
        taken = holder.message if holder else self.plane.taken(serve)
        return {serve.port: taken} if taken else {}

    async def open_door(self, blueprint: Blueprint) -> Door:
        """Listen on its own port. Raises ``PortTaken`` that says who has it."""
        holder = self._holder_of_port(blueprint)
        if holder is not None:
            raise holder
        return await self.plane.open_door(blueprint.name, blueprint.serve)

    def _holder_of_port(self, blueprint: Blueprint) -> PortTaken | None:
        """Where that is another deployment, which is of our own process: nobody could stop that."""
        port = blueprint.serve.port
        others = [each.deployment.blueprint for each in self._all_live() if each.deployment.name != blueprint.name]
        name = next((each.name for each in others if _same_port(each.serve, blueprint.serve)), "")
        cure = f"choose another port, or `orchestrator down {name}`"
        return PortTaken(f"port {port} is taken by the deployment {name}", cure=cure) if name else None

    def use_of(self, name: str, url: str) -> ServerUse:
        """Which revisions of a deployment call the server at this root URL: the one that gets new requests, or only one that
        finishes what it has begun."""
        live = self._live.get(name)
        if live is not None and _calls(live, url):
            return "live"
        mine = [drain.live for drain in self._drains if drain.live.deployment.name == name]
        return "draining" if any(_calls(each, url) for each in mine) else ""

    def load_at(self, urls: Collection[str]) -> tuple[int, int]:
        """Calls that servers at these root URLs work on or that wait for them, and the slots that they have."""
        views = self.plane.views()
        there = [views[name] for name, spec in self._endpoints.items() if name in views and _is_at(spec, urls)]
        return sum(each["in_flight"] + each["waiting"] for each in there), sum(each["slots"] for each in there)

    def works_at(self, url: str) -> bool:
        """Whether the server at this root URL works on a call, or one waits for it."""
        return self.load_at([url])[0] > 0

    def stalled(self) -> list[str]:
        """Addresses of servers to which calls make no progress."""
        views = self.plane.views()
        names = [name for name in self._endpoints if name in views and views[name]["state"] == "stalled"]
        return [self._endpoints[name].target.api_base for name in names]

    def endpoints_at(self, bases: Collection[str]) -> list[str]:
        """Ids of endpoints at these addresses of servers."""
        return [name for name, spec in self._endpoints.items() if spec.target.api_base in bases]

    # -- changing ---------------------------------------------------------------------------------------------------

    def see(self, blueprints: list[Blueprint], state_of: Callable[[Blueprint | None], ObservedState]) -> None:
        """What a look found of the device and of the models that are loaded, for the calls from now on."""
        self.plane.set_pressure(pressure_of(blueprints, state_of(None)))
        if self._told.see([each.deployment for each in self._all_live()], state_of):
            self._know()

    def refresh(self) -> None:
        """What models may take, where that is written, changes with the servers that come and go beside them."""
        limited = any(each.is_limited for live in self._all_live() for each in live.deployment.pools.values())
        if limited and (*self.alongside.held(self._resting), self.alongside.turning()) != self._beside:
            self._know()

    def try_again(self, name: str) -> None:
        """Who applies has perhaps just mended a server: its endpoints need not rest any longer."""
        live = self.get(name)
        if live is not None:
            self.plane.try_now(live.deployment.endpoints)

    def activate(self, deployment: Deployment, make: Callable[[Serving], Live]) -> None:
        """Let a deployment serve. Its endpoints are known before the first request can need them."""
        failpoint("activate.begun")
        self._know(deployment)
        failpoint("activate.endpoints-set")
        self._live[deployment.name] = make(self.plane.activate(deployment))
        failpoint("activate.switched")
        self._tell("revision.activated", deployment)

    def remove(self, name: str) -> None:
        """Refuse new requests for a deployment."""
        self.plane.remove(name)
        self._live.pop(name, None)
        failpoint("down.removed")

    def drain(self, live: Live, patience: float | None = None) -> Drain:
        """Let what it has begun finish, for at most ``patience`` seconds, then close what only it held."""
        drain = Drain(live)
        self._drains.append(drain)
        self.tasks.start_soon(self._finish, drain, patience)
        return drain

    async def close(self, patience: float) -> None:
        """Refuse new requests everywhere, and let those in work finish; after ``patience`` seconds they are cancelled."""
        older = list(self._drains)
        newer = [self._begin_end(name, patience) for name in self.names()]
        with anyio.move_on_after(patience):
            for drain in older:
                await drain.done.wait()
        for drain in older:
            if drain in self._drains:
                drain.cut()
        with anyio.move_on_after(patience + CUT_SECONDS):
            for drain in [*older, *newer]:
                await drain.done.wait()

    def _begin_end(self, name: str, patience: float) -> Drain:
        live = self._live[name]
        self.remove(name)
        return self.drain(live, patience)

    def cut(self) -> None:
        """Cancel all that still drains."""
        for drain in self._drains:
            drain.cut()

    async def _finish(self, drain: Drain, patience: float | None) -> None:
        failpoint("drain.begun")
        serving = drain.live.serving
        with anyio.move_on_after(patience):
            await serving.drained()
        if serving.in_flight:
            drain.cut()
            with anyio.move_on_after(CUT_SECONDS):
                await serving.drained()
        failpoint("drain.emptied")
        self._drains.remove(drain)
        with anyio.CancelScope(shield=True):
            await self._close_unheld(drain.live)
            await self.after()
        self._know()
        failpoint("drain.closed")
        self._tell("revision.drained", drain.live.deployment, {"left": drain.left})
        drain.done.set()

    async def _close_unheld(self, old: Live) -> None:
        lives = self._all_live()
        doors = [live.door for live in lives]
        if old.door is not None and not _among(old.door, doors):
            await old.door.aclose()
        held = [tool for live in lives for tool in live.deployment.tools.values()]
        unheld = {name: tool for name, tool in old.deployment.tools.items() if not _among(tool, held)}
        await close_tools(unheld, self.report)

    def _all_live(self) -> list[Live]:
        return [*self._live.values(), *(drain.live for drain in self._drains)]

    def _know(self, coming: Deployment | None = None) -> None:
        """The endpoints of everything that serves or drains; one that is known and the same keeps its old object."""
        everyone = [*(live.deployment for live in self._all_live()), *([coming] if coming else [])]
        wanted: dict[str, EndpointSpec] = {}
        pools: dict[str, PoolLimits] = {}
        for deployment in everyone:
            for name, spec in deployment.endpoints.items():
                wanted[name] = shared(wanted.get(name), self._told.held_by(deployment, spec))
            for name, limits in deployment.pools.items():
                pools[name] = pools[name].and_also(limits) if name in pools else limits
        wanted = agreed(wanted, [each.endpoints.values() for each in everyone])
        wanted = in_turns(wanted, self.alongside.turning())
        self._endpoints = {name: kept(self._endpoints.get(name), spec) for name, spec in wanted.items()}
        self._resting = processes_that_rest(wanted.values())
        held, claimed = self.alongside.held(self._resting)  # those are reckoned as models
        self._beside = (held, claimed, self.alongside.turning())
        left = {name: limits.less(held, claimed=claimed) for name, limits in pools.items()}
        self.plane.set_endpoints(self._endpoints, left)
        self.alongside.wake(processes_called(everyone) - self._resting)

    def report(self, error: Exception) -> None:
        """A tool that does not close is told, and stops nothing."""
        view = error.as_json() if isinstance(error, OrchestratorError) else {"message": repr(error)}
        self._emit(
            Event("apply.step", self._now(), fields={"state": "failed", "action": "close a tool", "error": view})
        )

    def _tell(self, kind: EventKind, deployment: Deployment, fields: Mapping[str, Any] | None = None) -> None:
        self._emit(Event(kind, self._now(), deployment.name, deployment.revision, fields=fields or {}))


async def close_tools(tools: Mapping[str, Tool], report: Callable[[Exception], None]) -> None:
    """Close each, by its name; a fault of one, or that it does not end, keeps no other open."""
    for name, tool in tools.items():
        try:
            with anyio.move_on_after(CLOSING_SECONDS) as limit:
                await tool.aclose()
            if limit.cancelled_caught:
                cure = "what it holds stays open until the runtime ends; tell who wrote it"
                report(DeployError(f"{name} did not close within {CLOSING_SECONDS:g} s", cure=cure))
        except Exception as error:  # noqa: BLE001 - a plug-in's close may raise anything; it is told
            report(error)


def _same_port(one: ServeSpec, other: ServeSpec) -> bool:
    """A port of IPv4 and one of IPv6 are two."""
    return one.port is not None and (one.port, ":" in one.host) == (other.port, ":" in other.host)


def _calls(live: Live, url: str) -> bool:
    return any(_is_at(spec, [url]) for spec in live.deployment.endpoints.values())


def _is_at(spec: EndpointSpec, urls: Collection[str]) -> bool:
    base = spec.target.api_base
    return any(url and (base == url or base.startswith(f"{url}/")) for url in urls)


def _among(one: object, others: Iterable[object]) -> bool:
    return any(one is other for other in others)


def _as_they_are(live: Live) -> Mapping[str, Facets]:
    """Its parts; a router that noticed that its encoder is another one now is not as it was made any more."""
    aged = [
        each.address
        for each in live.deployment.routers.values()
        if isinstance(each.strategy, Ages) and each.strategy.outdated
    ]
    return (
        {**live.parts, **{address: {**live.parts[address], OTHER_VECTORS: ""} for address in aged}}
        if aged
        else live.parts
    )


def _pinned(deployment: Deployment) -> Iterator[Pin]:
    """What it keeps of the memory: of each alias the model of the endpoint that is asked first."""
    for alias, binding in deployment.bindings.items():
        for first in binding.endpoints[:1]:
            residence = deployment.endpoints[first].residence
            if residence is not None and residence.pinned:
                yield Pin(residence.model, alias, residence.memory)
