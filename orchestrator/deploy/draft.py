"""The next revision in the making: begins as the one that serves, and has its parts replaced one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import anyio.to_thread

from orchestrator.core.address import Address
from orchestrator.core.blueprint import AgentSpec, Blueprint, ModelSpec, RouterSpec, ToolSpec
from orchestrator.core.failpoint import declare, failpoint
from orchestrator.core.personal import finder_of
from orchestrator.deploy.deployment import Agent, Binding, Deployment, Router
from orchestrator.deploy.distant import ServerEncoder
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.make import endpoints_of, make_agent, make_router, version_of
from orchestrator.deploy.plane import Workshop
from orchestrator.deploy.residence import Residence
from orchestrator.deploy.resources import crew_of, limits_of, process_of, residence_of, with_resources
from orchestrator.deploy.servers import Servers
from orchestrator.plan.binding import Bound, BoundEndpoint
from orchestrator.plan.residence import never_rests
from orchestrator.ports.encoder import DistantEncoder, Encoder
from orchestrator.ports.host import make_private
from orchestrator.ports.provider import Capability, Support, Target
from orchestrator.ports.tool import Tool, ToolPlace

Made = TypeVar("Made")

declare("execute.model-bound", "execute.tool-opened", "execute.agent-made", "execute.router-fitted")

KNOWLEDGE_TIMEOUT: Final = 10.0
"""Seconds that a search of documents may take."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """Which revision it becomes, and when that was applied (seconds since 1970)."""

    revision: int
    applied: float


class Draft:
    """Owned by the reconciler. ``opened`` are tools that nobody else holds: they are closed if the draft is given up."""

    def __init__(self, blueprint: Blueprint, number: Numbered, base: Deployment | None, workshop: Workshop) -> None:
        self.blueprint = blueprint
        self.number = number
        self._workshop = workshop
        self.budget: int | None = None
        """Bytes that models may take of this device."""
        self.servers: Servers | None = None
        """Those that we start."""
        self._bindings: dict[str, Binding] = dict(base.bindings) if base else {}
        self._endpoints: dict[str, EndpointSpec] = dict(base.endpoints) if base else {}
        self._tools: dict[str, Tool] = dict(base.tools) if base else {}
        self._agents: dict[str, Agent] = dict(base.agents) if base else {}
        self._routers: dict[str, Router] = dict(base.routers) if base else {}
        self.opened: dict[str, Tool] = {}

    # -- parts ------------------------------------------------------------------------------------------------------

    def bind(self, bound: Bound) -> None:
        """Use these endpoints for a model, or know why there are none."""
        for endpoint in bound.endpoints:
            spec = self._spec(endpoint, started=self._starts(bound.alias))
            self._endpoints[endpoint.id] = replace(
                spec, process=self._process(bound, endpoint), crew=crew_of(endpoint.process, self.servers)
            )
        missing = "; ".join(filter(None, [bound.missing, bound.cure]))
        self._bindings[bound.alias] = Binding(
            bound.alias,
            tuple(each.id for each in bound.endpoints),
            missing,
            bound.endpoints[0].memory if bound.endpoints else None,
            bound.equals,
        )
        failpoint("execute.model-bound")

    async def open_tool(self, name: str) -> None:
        """Open a tool of the manifest."""
        await self._open(Address.of("tool", name), self._tool_spec(Address.of("tool", name)))

    async def index(self, name: str) -> None:
        """Open a set of documents."""
        await self._open(Address.of("knowledge", name), self._tool_spec(Address.of("knowledge", name)))

    async def make_agent(self, name: str) -> None:
        """Make an agent from the parts that are ready."""
        spec = cast(AgentSpec, self.blueprint.elements[Address.of("agent", name)].spec)
        tools = {address: (self._tool_spec(address), tool) for address, tool in self._wanted_tools().items()}
        self._agents[name] = await _in_thread(
            lambda: make_agent(spec, self._bindings, self._models(), tools, self._workshop.fit_intents)
        )
        failpoint("execute.agent-made")

    async def fit_router(self, name: str) -> None:
        """Let a router learn."""
        spec = cast(RouterSpec, self.blueprint.elements[Address.of("router", name)].spec)
        endpoints = endpoints_of(spec["models"], self._bindings, self._models())
        fit = self._workshop.strategy(spec["strategy"])
        bound = self._bindings.get(spec["encoder"])  # no fallback of it: another model has other vectors
        targets = self._targets()
        made = await _in_thread(lambda: make_router(spec, targets, fit, endpoints, self._encoder))
        version = version_of(spec, targets, self._models())
        self._routers[name] = replace(made, embedders=bound.endpoints if bound else (), version=version)
        failpoint("execute.router-fitted")

    # -- the whole --------------------------------------------------------------------------------------------------

    def finish(self) -> Deployment:
        """The deployment, with exactly the parts that the blueprint has."""
        elements = self.blueprint.elements
        bindings = {name: each for name, each in self._bindings.items() if Address.of("model", name) in elements}
        used = {endpoint for binding in bindings.values() for endpoint in binding.endpoints}
        resources = self.blueprint.resources
        residences = [each.residence for name, each in self._endpoints.items() if name in used and each.residence]
        return Deployment(
            blueprint=self.blueprint,
            revision=self.number.revision,
            agents={name: each for name, each in self._agents.items() if Address.of("agent", name) in elements},
            routers={name: each for name, each in self._routers.items() if Address.of("router", name) in elements},
            bindings=bindings,
            endpoints={name: with_resources(each, resources) for name, each in self._endpoints.items() if name in used},
            tools=self._wanted_tools(),
            applied=self.number.applied,
            pools=limits_of(resources, self.budget, residences),
            places=self._workshop.tools / self.blueprint.name,
        )

    # -- inside -----------------------------------------------------------------------------------------------------

    def _wanted_tools(self) -> dict[str, Tool]:
        return {address: tool for address, tool in self._tools.items() if address in self.blueprint.elements}

    def _encoder(self, name: str) -> Encoder | DistantEncoder:
        """A model of this manifest, else one in this process."""
        if Address.of("model", name) not in self.blueprint.elements:
            return self._workshop.encoder(name)
        bound = self._bindings[name]
        endpoints = [self._endpoints[each] for each in bound.endpoints]
        return ServerEncoder(name, endpoints, bound.missing, finder_of(self.blueprint.policy.get("redaction", {})))

    def _models(self) -> dict[str, ModelSpec]:
        return {each.spec["alias"]: cast(ModelSpec, each.spec) for each in self.blueprint.of_kind("model")}

    def _targets(self) -> dict[str, AgentSpec | RouterSpec]:
        elements = [*self.blueprint.of_kind("agent"), *self.blueprint.of_kind("router")]
        return {each.spec["name"]: cast(Any, each.spec) for each in elements}

    def _tool_spec(self, address: str) -> ToolSpec:
        element = self.blueprint.elements[address]
        if element.kind == "tool":
            return cast(ToolSpec, element.spec)
        options = {key: value for key, value in element.spec.items() if key != "name"}
        return ToolSpec(
            name=element.spec["name"], kind="knowledge", options=options, allowed=[], timeout=KNOWLEDGE_TIMEOUT
        )

    async def _open(self, address: str, spec: ToolSpec) -> None:
        open_tool = self._workshop.open_tool(spec["kind"])
        place = self._place(address)
        tool = await _in_thread(lambda: open_tool(spec["name"], spec["options"], place))
        self._tools[address] = self.opened[address] = tool
        failpoint("execute.tool-opened")

    def _starts(self, alias: str) -> bool:
        """Whether the model's server is one that we start."""
        element = self.blueprint.elements.get(Address.of("model", alias))
        return element is not None and bool(element.spec["server"])

    def _process(self, bound: Bound, endpoint: BoundEndpoint) -> Residence | None:
        """Its server as what may rest. Of several processes the demand decides how many run."""
        model = cast(ModelSpec, self.blueprint.elements[Address.of("model", bound.alias)].spec)
        if self.servers is None or bound.equals > 1 or never_rests(model):
            return None
        return process_of(endpoint, self.servers)

    def _spec(self, endpoint: BoundEndpoint, *, started: bool) -> EndpointSpec:
        key = endpoint.api_key
        secret = self._workshop.reveal(key, Path(self.blueprint.folder)) if key else None
        provider = self._workshop.provider(endpoint.provider)
        return EndpointSpec(
            id=endpoint.id,
            target=Target(endpoint.provider, endpoint.api_base, endpoint.model, secret, endpoint.zone),
            provider=provider,
            slots=endpoint.slots or self._workshop.assumed_slots.get(endpoint.provider, 1),
            context=endpoint.context,
            bounded=endpoint.bounded,
            capabilities={Capability(name): Support(told) for name, told in endpoint.capabilities.items()},
            residence=residence_of(endpoint, provider),
            started=started,
        )

    def _place(self, address: str) -> ToolPlace:
        folder = Path(self.blueprint.folder)
        state = self._workshop.tools / self.blueprint.name / address
        make_private(state)
        return ToolPlace(
            state=state,
            folder=folder,
            roots=(folder, *map(Path, self.blueprint.tool_roots)),
            reveal=lambda reference: self._workshop.reveal(reference, folder).reveal(),
        )


async def _in_thread(work: Callable[[], Made]) -> Made:
    """Fitting and compiling take time; requests that are served meanwhile must not feel it."""
    return await anyio.to_thread.run_sync(work)
