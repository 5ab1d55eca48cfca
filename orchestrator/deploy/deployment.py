"""A deployment: one revision of a blueprint made live. Plain maps and tuples; the request path reads only these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.blueprint import AgentSpec, Blueprint, RouterSpec
from orchestrator.core.message import FunctionSchema, Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.reflex import ReflexTable
from orchestrator.deploy.template import Render
from orchestrator.ports.strategy import InstantStrategy, Strategy
from orchestrator.ports.tool import Tool, ToolFunction


@dataclass(frozen=True, slots=True)
class Binding:
    """What serves a model alias: endpoint ids, best first; or why nothing does."""

    alias: str
    endpoints: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """A specialist or escalation agent, ready to answer.

    ``endpoints`` are those of its models in order of preference, then of their fallbacks; ``call`` holds the settings
    of its calls (temperature, max_tokens, extra); ``functions`` are by the name that a model uses; ``invalid`` says what
    does not fit ``output_schema``, or gives an empty text.
    """

    spec: AgentSpec
    address: str
    endpoints: tuple[str, ...]
    functions: Mapping[str, ToolFunction]
    schemas: tuple[FunctionSchema, ...]
    prompt: Render
    fixed_prompt: Message | None
    reflexes: ReflexTable
    call: Mapping[str, Any] = field(default_factory=dict)
    tool_timeouts: Mapping[str, float] = field(default_factory=dict)
    invalid: Callable[[Any], str] | None = None
    human_say: Render | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Router:
    """A router with its fitted strategy; ``instant`` is the same strategy where it never waits."""

    spec: RouterSpec
    address: str
    strategy: Strategy
    instant: InstantStrategy | None
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that the request path needs of one revision. Parts that did not change are shared with the last one."""

    blueprint: Blueprint
    revision: int
    agents: Mapping[str, Agent]
    routers: Mapping[str, Router]
    bindings: Mapping[str, Binding]
    endpoints: Mapping[str, EndpointSpec]
    tools: Mapping[str, Tool]

    @property
    def name(self) -> str:
        """Its name."""
        return self.blueprint.name

    @property
    def entry(self) -> str:
        """The name of the router or agent that requests enter at."""
        return self.blueprint.entry.partition(".")[2]
