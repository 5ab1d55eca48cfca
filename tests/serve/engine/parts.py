"""Small deployments on simulated model servers, made as the runtime makes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import anyio

from orchestrator.core.blueprint import (
    MOST_ESCALATIONS,
    AgentSpec,
    Blueprint,
    ModelSpec,
    ReflexSpec,
    RouterSpec,
    ToolSpec,
)
from orchestrator.core.event import Event
from orchestrator.core.message import Message
from orchestrator.core.request import Request, Result
from orchestrator.deploy.deployment import Agent, Binding, Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.make import endpoints_of, make_agent, make_router
from orchestrator.plan.pressure import NONE, Pressure
from orchestrator.plugins.strategies.cascade import fit_cascade
from orchestrator.plugins.strategies.intent import fit_intent
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.plugins.strategies.rules import fit_rules
from orchestrator.plugins.strategies.turns import fit_least_loaded, fit_priority, fit_sticky
from orchestrator.ports.provider import Capability, Provider, Support
from orchestrator.ports.strategy import FitStrategy, StrategyOptions
from orchestrator.ports.tool import Tool, ToolContext, ToolFunction, ToolOutcome
from orchestrator.serve.engine import Engine
from orchestrator.serve.loop import Loop
from orchestrator.serve.session import Sessions
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.simulated_provider import URL, SimulatedProvider

FIT: Final[Mapping[str, FitStrategy]] = {
    "cascade": fit_cascade,
    "intent": fit_intent,
    "lexical": fit_lexical,
    "rules": fit_rules,
    "least-loaded": fit_least_loaded,
    "priority": fit_priority,
    "sticky": fit_sticky,
}
ANY = {"type": "object", "properties": {}}
Behaviour = Callable[[Mapping[str, Any], ToolContext], Any]


def agent_spec(name: str, **fields: Any) -> AgentSpec:
    """An agent on the model ``m``."""
    spec = {
        "name": name,
        "role": "specialist",
        "description": f"answers for {name}",
        "models": ["m"],
        "instructions": f"You are {name}.",
        "tools": [],
        "knowledge": [],
        "examples": [],
        "keywords": [],
        "skills": [],
        "max_tokens": None,
        "temperature": None,
        "timeout": None,
        "offline": False,
        "data_class": "internal",
        "output_schema": None,
        "escalate_to": None,
        "escalate_when": ["error", "timeout", "requested"],
        "reflex": [],
        "human": None,
        "history_turns": 20,
        "max_steps": 8,
        "max_tool_calls": 16,
        "max_total_tokens": None,
        "priority": None,
    }
    assert fields.keys() <= {*spec.keys(), "gate", "model_why"}, fields
    return cast(AgentSpec, {**spec, **fields})


def router_spec(name: str, routes: Mapping[str, str], **fields: Any) -> RouterSpec:
    """A router by rule: each agent with the pattern of what belongs there."""
    ways = [
        {"to": to, "when": {"regex": regex}, "description": f"about {to}", "examples": [], "keywords": []}
        for to, regex in routes.items()
    ]
    spec: dict[str, Any] = {
        "name": name,
        "strategy": "rules",
        "stages": [],
        "encoder": "",
        "routes": ways,
        "default": None,
        "on_unsure": "ask",
        "confidence": None,
        "models": [],
        "escalate_to": None,
    }
    assert fields.keys() <= spec.keys(), fields
    return cast(RouterSpec, {**spec, **fields})


def rule(say: str, **fields: Any) -> ReflexSpec:
    """A reflex rule, tried before a model."""
    spec: dict[str, Any] = {
        "when": {},
        "extract": {},
        "call": None,
        "arguments": {},
        "say": say,
        "first": True,
        "unsure": False,
    }
    assert fields.keys() <= spec.keys(), fields
    return cast(ReflexSpec, {**spec, **fields})


def model_spec(alias: str = "m", **fields: Any) -> ModelSpec:
    """A model's alias."""
    claims: dict[str, Any] = {"secondary": False, "complexity": [], "priorities": []}
    return cast(ModelSpec, {"alias": alias, "options": {}, "fallback": [], **claims, **fields})


@dataclass
class FakeTool:
    """A tool whose functions are told by name: what they give, or what they do. It remembers its calls."""

    name: str
    behaviours: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=lambda: ANY)
    calls: list[tuple[str, dict[str, Any], ToolContext]] = field(default_factory=list)
    approval: str = "never"

    @property
    def functions(self) -> tuple[ToolFunction, ...]:
        return tuple(self._function(f"{self.name}.{name}", each) for name, each in self.behaviours.items())

    async def aclose(self) -> None:
        return None

    def _function(self, name: str, behaviour: Any) -> ToolFunction:
        async def run(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
            self.calls.append((name, dict(arguments), context))
            given = behaviour(arguments, context) if callable(behaviour) else behaviour
            if hasattr(given, "__await__"):
                given = await given
            return given if isinstance(given, ToolOutcome) else ToolOutcome(given)

        return ToolFunction(name, f"does {name}", self.parameters, "write", run)


APPLIED = 1_700_000_000.25
"""When the deployment was applied."""


@dataclass
class Wanted:
    """A deployment as a test writes it: its agents and routers in order (the first is where requests enter)."""

    parts: Sequence[AgentSpec | RouterSpec]
    tools: Sequence[FakeTool] = ()
    models: Mapping[str, ModelSpec] = field(default_factory=lambda: {"m": model_spec()})
    bound: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"m": ("m@1",)})
    equals: int = 1
    slots: int = 8
    capabilities: Mapping[Capability, Support] = field(default_factory=dict)
    contexts: Mapping[str, int] = field(default_factory=dict)
    cloud: Sequence[str] = ()
    timeout: float = 120.0
    max_concurrent: int | None = None
    queue: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)
    most_escalations: int = MOST_ESCALATIONS
    security: Mapping[str, Any] = field(default_factory=dict)

    def deployment(self, provider: Provider, urls: Mapping[str, str]) -> Deployment:
        """The live parts, on the endpoints ``urls`` (by endpoint id)."""
        bindings = {
            alias: Binding(
                alias,
                self.bound.get(alias, ()),
                "" if self.bound.get(alias) else f"{alias} is not served",
                equals=self.equals,
            )
            for alias in self.models
        }
        names = {part["name"]: cast(Any, part) for part in self.parts}
        first = self.parts[0]
        kind = "router" if "routes" in first else "agent"
        blueprint = Blueprint(
            name="shop",
            type="single-device",
            entry=f"{kind}.{first['name']}",
            elements={},
            timeout=self.timeout,
            max_concurrent=self.max_concurrent,
            queue=self.queue,
            people=self.people,
            most_escalations=self.most_escalations,
            policy=self.security,
        )
        return Deployment(
            blueprint=blueprint,
            revision=3,
            agents={n: self._agent(cast(AgentSpec, s), bindings) for n, s in names.items() if "routes" not in s},
            routers={
                n: make_router(s, names, FIT[s["strategy"]], endpoints_of(s["models"], bindings, self.models))
                for n, s in names.items()
                if "routes" in s
            },
            bindings=bindings,
            endpoints={name: self._endpoint(name, url, provider) for name, url in urls.items()},
            tools={f"tool.{tool.name}": cast(Tool, tool) for tool in self.tools},
            applied=APPLIED,
        )

    def _agent(self, spec: AgentSpec, bindings: Mapping[str, Binding]) -> Agent:
        tools = {
            f"tool.{tool.name}": (
                cast(
                    ToolSpec,
                    {
                        "name": tool.name,
                        "kind": "python",
                        "options": {},
                        "allowed": [],
                        "timeout": 10.0,
                        "approval": tool.approval,
                    },
                ),
                cast(Tool, tool),
            )
            for tool in self.tools
        }
        return make_agent(
            spec, bindings, self.models, tools, lambda candidates: fit_lexical(candidates, StrategyOptions())
        )

    def _endpoint(self, name: str, url: str, provider: Provider) -> EndpointSpec:
        target = replace(cast(Any, provider).target("m", url), zone="cloud" if name in self.cloud else "node")
        return EndpointSpec(name, target, provider, self.slots, self.contexts.get(name), self.capabilities)


@dataclass
class Served:
    """A running engine, its simulated servers, and everything it told."""

    engine: Engine
    servers: tuple[SimulatedEndpoint, ...]
    loop: Loop
    events: list[Event]

    @property
    def server(self) -> SimulatedEndpoint:
        """The first one."""
        return self.servers[0]

    def on_node(self, node: str) -> Engine:
        """The engine, of which the deployment is now this node's share of a fleet."""
        deployment = self.engine.deployment
        self.engine.deployment = replace(deployment, blueprint=replace(deployment.blueprint, node=node))
        return self.engine

    async def run(self, text: str, listen: Callable[[Event], None] | None = None, **fields: Any) -> Result:
        """Answer a request."""
        return await self.engine.run(Request(text, **fields), listen)

    def kinds(self) -> list[str]:
        """The kinds of the events so far."""
        return [event.kind for event in self.events]

    def sent(self, number: int = -1) -> list[tuple[str, str]]:
        """The messages of one request that the server got."""
        return [(each["role"], each["content"]) for each in self.server.records[number].asked.messages]


@asynccontextmanager
async def serving(
    wanted: Wanted,
    *servers: SimulatedEndpoint,
    sessions: Sessions | None = None,
    pressure: Callable[[], Pressure] = lambda: NONE,
) -> AsyncIterator[Served]:
    """Serve it on these model servers; the endpoints are ``m@1``, ``m@2``…"""
    servers = servers or (simulated(["m"]),)
    provider = SimulatedProvider(*servers)
    urls = {f"m@{number}": url for number, url in enumerate(provider.endpoints, 1)}
    events: list[Event] = []
    loop = Loop(on_event=events.append, jitter=lambda: 0.5)
    deployment = wanted.deployment(cast(Provider, provider), urls)
    engine = Engine(deployment, loop, sessions or Sessions(), events.append, pressure)
    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        loop.set_endpoints(deployment.endpoints)
        yield Served(engine, servers, loop, events)
        tasks.cancel_scope.cancel()


def history(count: int) -> tuple[Message, ...]:
    """That many turns."""
    return tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n}") for n in range(count))


def shown(result: Result) -> str:
    """A result as text, without what differs between two runs on virtual time."""
    view = result.as_json()
    for decision in view["decisions"]:
        decision.pop("cost_ms")
    return json.dumps(view, indent=1, ensure_ascii=False)


__all__ = ["URL", "FakeTool", "Served", "Wanted", "agent_spec", "model_spec", "router_spec", "rule", "serving", "shown"]
