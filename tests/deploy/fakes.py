"""A data plane, a store and makers of parts that only remember what was asked of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from orchestrator.core.blueprint import Blueprint, ServeSpec
from orchestrator.core.errors import DeployError, PortTaken
from orchestrator.core.event import Event
from orchestrator.core.request import Decision
from orchestrator.deploy.deployment import Deployment
from orchestrator.deploy.desired import DesiredTable
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.plane import Seen, Workshop
from orchestrator.deploy.reconcile import Reconciler
from orchestrator.deploy.residence import PoolLimits
from orchestrator.deploy.trouble import Rules
from orchestrator.deploy.wanted import Applied, Wanted
from orchestrator.plan.pressure import NONE, Pressure
from orchestrator.plugins.stores.memory import MemoryRevisions
from orchestrator.ports.device import Device
from orchestrator.ports.lifecycle import Loaded
from orchestrator.ports.provider import Capability, Identity, Provider, Secret, ServedModel, Support
from orchestrator.ports.strategy import Candidate, RouteQuestion, StrategyOptions
from orchestrator.ports.tool import ToolFunction, ToolPlace


class FakeServing:
    """A revision whose requests end when the test says so."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.in_flight = 0
        self._empty = anyio.Event()
        self.cancelled = ""

    def begin(self, count: int = 1) -> None:
        """Have requests in work."""
        self.in_flight += count

    def finish(self) -> None:
        """All of them end."""
        self.in_flight = 0
        self._empty.set()

    def cancel(self, why: str) -> None:
        self.cancelled = why
        self.finish()

    async def drained(self) -> None:
        if self.in_flight:
            await self._empty.wait()


class FakeDoor:
    def __init__(self, serve: ServeSpec, plane: FakePlane) -> None:
        self.serve = serve
        self._plane = plane

    async def aclose(self) -> None:
        self._plane.doors.remove(self)


class FakePlane:
    """Remembers who serves, which endpoints are known, and which doors are open."""

    def __init__(self) -> None:
        self.serving: dict[str, FakeServing] = {}
        self.endpoints: Mapping[str, EndpointSpec] = {}
        self.pools: Mapping[str, PoolLimits] = {}
        self.loaded: Mapping[str, bool] = {}
        self.doors: list[FakeDoor] = []
        self.tried: list[list[str]] = []
        self.seen: dict[str, dict[str, Any]] = {}
        self.others_ports: dict[int, str] = {}
        self.pressure = NONE

    def set_endpoints(self, endpoints: Mapping[str, EndpointSpec], pools: Mapping[str, PoolLimits]) -> None:
        self.endpoints, self.pools = dict(endpoints), dict(pools)

    def set_loaded(self, loaded: Mapping[str, bool], since: float) -> None:
        self.loaded = loaded

    def try_now(self, endpoints: Iterable[str]) -> None:
        self.tried.append(sorted(endpoints))

    def set_pressure(self, pressure: Pressure) -> None:
        self.pressure = pressure

    def views(self) -> Mapping[str, Mapping[str, Any]]:
        return self.seen

    def activate(self, deployment: Deployment) -> FakeServing:
        assert set(deployment.endpoints) <= set(self.endpoints), "requests would meet unknown endpoints"
        self.serving[deployment.name] = FakeServing(deployment)
        return self.serving[deployment.name]

    def remove(self, name: str) -> None:
        self.serving.pop(name, None)

    async def open_door(self, name: str, serve: ServeSpec) -> FakeDoor:
        if serve.port in self.others_ports:
            raise PortTaken(f"port {serve.port} is taken by {self.others_ports[serve.port]}")
        if serve.port in [each.serve.port for each in self.doors]:
            raise PortTaken(f"port {serve.port} is taken by this runtime")
        door = FakeDoor(serve, self)
        self.doors.append(door)
        return door

    def taken(self, serve: ServeSpec) -> str:
        return self.others_ports.get(serve.port or 0, "")


class FakeTool:
    """A tool that knows whether it is open."""

    def __init__(self, name: str, options: Mapping[str, Any], place: ToolPlace) -> None:
        self.name = name
        self.options = options
        self.place = place
        self.open = True

    @property
    def functions(self) -> tuple[ToolFunction, ...]:
        return ()

    async def aclose(self) -> None:
        assert self.open, "closed twice"
        self.open = False


class FakeStrategy:
    def __init__(self, candidates: tuple[Candidate, ...], options: StrategyOptions) -> None:
        self.candidates = candidates

    def decide_now(self, question: RouteQuestion) -> Decision:
        return Decision("fake", self.candidates[0].name)

    async def decide(self, question: RouteQuestion) -> Decision:
        return self.decide_now(question)


class FakeProvider:
    """One that could load and unload models, if anybody asked it to."""

    kind = "ollama"

    async def load(self, *_: object) -> Loaded:
        return Loaded(0.0)

    async def unload(self, *_: object) -> None:
        """It is unloaded."""


@dataclass(frozen=True)
class Sighting:
    """What an address showed."""

    url: str
    state: str
    identity: Identity | None = None
    models: tuple[ServedModel, ...] = ()
    trouble: str = ""
    stranger: bool = False


@dataclass
class Surroundings:
    """What is outside, for a test to change: model servers by URL, tools that refuse to open."""

    servers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    broken_tools: set[str] = field(default_factory=set)
    opened: list[FakeTool] = field(default_factory=list)
    unset: set[str] = field(default_factory=set)
    looks: int = 0
    asked: dict[str, list[str]] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)
    device: Device | None = None
    loads: bool = False
    loaded: set[str] = field(default_factory=set)
    context: int | None = None
    version: str = "1"

    async def look(self, places: Sequence[str], keys: Mapping[str, Secret], by: Sequence[str]) -> Sequence[Seen]:
        who = ", ".join(by)
        self.asked[who] = [f"{url} with {keys[url].reveal()}" if url in keys else url for url in places]
        self.looks += not by
        return [self._sighting(url, who or "ollama") for url in places]

    def _sighting(self, url: str, make: str) -> Sighting:
        if make in self.mute:
            return Sighting(url, "foreign", trouble=f"{make} is broken")
        if url in self.strangers:
            return Sighting(url, "foreign", trouble="it answers like no model server that is known", stranger=True)
        if url in self.busy:
            return Sighting(url, "foreign", trouble="it accepts connections and then says nothing")
        if url not in self.servers:
            return Sighting(url, "absent")
        loaded = {each: each in self.loaded if self.loads else None for each in self.servers[url]}
        models = tuple(
            ServedModel(each, kind="chat", loaded=loaded[each], context=self.context) for each in self.servers[url]
        )
        capabilities = {Capability.LOAD: Support.YES} if self.loads else {}
        return Sighting(url, "served", Identity(make, url, self.version, f"{url}/v1", capabilities), models)

    def open_tool(self, name: str, options: Mapping[str, Any], place: ToolPlace) -> FakeTool:
        if name in self.broken_tools:
            raise DeployError(f"{name} does not open", cure="mend it")
        tool = FakeTool(name, options, place)
        self.opened.append(tool)
        return tool

    def reveal(self, reference: str, folder: Path) -> Secret:
        if reference in self.unset:
            raise DeployError(f"the secret {reference} is not set in the runtime", cure="set it")
        return Secret(f"value of {reference}")

    @property
    def open_tools(self) -> list[str]:
        return [tool.name for tool in self.opened if tool.open]


OLLAMA = "http://127.0.0.1:11434"


def workshop(surroundings: Surroundings, folder: Path) -> Workshop:
    """Makers that open fakes."""
    provider: Any = FakeProvider()
    providers: dict[str, Provider] = {"ollama": provider}
    return Workshop(
        provider=providers.__getitem__,
        assumed_slots={},
        strategy=lambda name: FakeStrategy,
        fit_intents=lambda candidates: FakeStrategy(candidates, StrategyOptions()),
        open_tool=lambda kind: surroundings.open_tool,
        reveal=surroundings.reveal,
        tools=folder,
        look=surroundings.look,
        usual_places=(OLLAMA,),
        sense=lambda: surroundings.device,
    )


@dataclass
class Stage:
    """A reconciler that runs, and everything around it."""

    reconciler: Reconciler
    plane: FakePlane
    surroundings: Surroundings
    store: MemoryRevisions
    events: list[Event]
    told: list[Event]

    async def apply(self, blueprint: Blueprint, **changes: Any) -> Applied:
        """Apply a blueprint, as the command line would."""
        return await self.reconciler.apply(Wanted(blueprint, **changes), self.events.append)

    def steps(self, state: str = "done") -> list[str]:
        """Addresses of the steps that were told, in this state."""
        return [event.fields["address"] for event in self.events if event.fields.get("state") == state]


@asynccontextmanager
async def stage(
    folder: Path, store: MemoryRevisions | None = None, every: float = 3600.0, broken: Iterable[str] = ()
) -> AsyncIterator[Stage]:
    """A running reconciler over fakes; the clock of its looks is slow unless a test says else. ``broken`` tools do not open."""
    surroundings, plane, events, told = Surroundings(), FakePlane(), list[Event](), list[Event]()
    surroundings.broken_tools.update(broken)
    store = store or MemoryRevisions()

    def never(revision: object) -> Blueprint:
        raise DeployError("the sources are not kept")

    desired = DesiredTable(store, never, lambda: 1.0)
    reconciler = Reconciler(
        workshop(surroundings, folder), plane, desired, told.append, Rules(every=every, version="1")
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reconciler.run)
        await reconciler.restored.wait()
        yield Stage(reconciler, plane, surroundings, store, events, told)
        tasks.cancel_scope.cancel()


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until something holds."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - any condition, of objects that know no events
            await anyio.sleep(0.005)
