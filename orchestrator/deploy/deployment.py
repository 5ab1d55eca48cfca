"""A deployment: one revision of a blueprint made live. Plain maps and tuples; the request path reads only these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.core.blueprint import AgentSpec, Blueprint, RouterSpec
from orchestrator.core.message import FunctionSchema, Message
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.guards import Guards
from orchestrator.deploy.reflex import ReflexTable
from orchestrator.deploy.residence import PoolLimits
from orchestrator.deploy.template import Render
from orchestrator.ports.strategy import InstantStrategy, Strategy
from orchestrator.ports.tool import Tool, ToolFunction


@dataclass(frozen=True, slots=True)
class Binding:
    """What serves a model alias: endpoint ids, best first, of which the first ``equals`` may share the work; or why nothing
    does. ``memory`` is what it is reckoned to take, in bytes."""

    alias: str
    endpoints: tuple[str, ...] = ()
    missing: str = ""
    memory: int | None = None
    equals: int = 1


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that an agent may ask: what serves it, what it takes, and which requests it is meant for. ``given`` says why the
    agent has it, with its alias before it, where the manifest left that open."""

    alias: str
    endpoints: tuple[str, ...]
    memory: int | None = None
    equals: int = 1
    complexity: frozenset[str] = frozenset()
    priorities: frozenset[str] = frozenset()
    secondary: bool = False
    given: str = ""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How an agent's model is asked; ``extra`` are settings that go to the server as they are (``top_p`` and others)."""

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> CallSettings:
        """From options as they stand in a manifest or a request."""
        extra = {name: value for name, value in options.items() if name not in cls.__slots__}
        stop = options.get("stop") or ()
        return cls(
            temperature=options.get("temperature"),
            max_tokens=options.get("max_tokens"),
            seed=options.get("seed"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            extra=extra,
        )

    def with_options(self, options: Mapping[str, Any]) -> CallSettings:
        """The same, with a request's options before them."""
        own = {name: getattr(self, name) for name in self.__slots__ if name != "extra"}
        return CallSettings.of({**self.extra, **own, **options})


@dataclass(frozen=True, slots=True)
class Agent:
    """A specialist or escalation agent, ready to answer.

    ``endpoints`` are those of its models in order of preference, then of their fallbacks, and ``choices`` these models in
    the same order; ``functions`` are by the name
    that a model uses, ``call`` is how its first model is asked, ``calls`` how those endpoints are whose model has other
    options; ``schemas`` what a model is offered: these functions and, where the agent may, a hand-over;
    ``fixed_prompt`` is its prompt where that holds no template; ``invalid`` says what does not fit ``output_schema``, or
    gives an empty text; ``offered`` is the size of ``schemas`` as JSON, in bytes; ``guarded`` are the names of functions that
    a person must allow each time; ``version`` is a digest of what its answers come from, to know labelled ones by.
    """

    spec: AgentSpec
    address: str
    endpoints: tuple[str, ...]
    functions: Mapping[str, ToolFunction]
    schemas: tuple[FunctionSchema, ...]
    prompt: Render
    fixed_prompt: Message | None
    reflexes: ReflexTable
    call: CallSettings = CallSettings()
    calls: Mapping[str, CallSettings] = field(default_factory=dict)
    tool_timeouts: Mapping[str, float] = field(default_factory=dict)
    invalid: Callable[[Any], str] | None = None
    human_say: Render | None = None
    missing: str = ""
    choices: tuple[ModelChoice, ...] = ()
    offered: int = 0
    guarded: frozenset[str] = frozenset()
    version: str = ""

    @property
    def offers(self) -> frozenset[str]:
        """The names of the functions that its model is offered."""
        return frozenset(schema.name for schema in self.schemas)


@dataclass(frozen=True, slots=True)
class Router:
    """A router with its fitted strategy; ``instant`` is the same strategy where it never waits; ``embedders`` are the endpoints of
    its encoder, where that is a model server's; ``guards`` are what its strict routes ask for;
    ``version`` is a digest of what its confidence comes from, to know labelled decisions by."""

    spec: RouterSpec
    address: str
    strategy: Strategy
    instant: InstantStrategy | None
    endpoints: tuple[str, ...]
    embedders: tuple[str, ...] = ()
    guards: Guards = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that the request path needs of one revision. Parts that did not change are shared with the last one.

    ``applied`` is when the revision was, in seconds since 1970; ``pools`` are limits of the memories that its models share;
    ``places`` is the folder in which each tool without a path of its own has a folder, by its address.
    """

    blueprint: Blueprint
    revision: int
    agents: Mapping[str, Agent]
    routers: Mapping[str, Router]
    bindings: Mapping[str, Binding]
    endpoints: Mapping[str, EndpointSpec]
    tools: Mapping[str, Tool]
    applied: float
    pools: Mapping[str, PoolLimits] = field(default_factory=dict)
    places: Path | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.blueprint.name

    @property
    def entry(self) -> str:
        """The name of the router or agent that requests enter at."""
        return self.blueprint.entry.partition(".")[2]
