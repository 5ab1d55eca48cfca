"""The work of the engine's measurements: a router over four agents, made as the runtime makes it, on one model endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import anyio

from orchestrator.core.blueprint import AgentSpec, Blueprint, RouterSpec
from orchestrator.core.event import Event
from orchestrator.core.request import Decision
from orchestrator.deploy.deployment import Binding, Deployment
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.deploy.make import make_agent, make_router
from orchestrator.plugins.strategies.intent import fit_intent
from orchestrator.plugins.strategies.lexical import fit_lexical
from orchestrator.ports.provider import Provider, Target
from orchestrator.ports.strategy import Candidate, FitStrategy, RouteQuestion, StrategyOptions
from orchestrator.serve.engine import Engine
from orchestrator.serve.loop import Loop
from orchestrator.serve.run import Emit
from orchestrator.serve.session import Sessions

TEXT: Final = "do you have the cordless drill in stock?"
EXAMPLES: Final = {
    "sales": ["do you have drills in stock", "how much is the hammer", "price of the cordless drill", "is it in stock"],
    "returns": ["I want to return this", "can I get my money back", "this is broken", "exchange for another size"],
    "hours": ["when do you open", "are you open on Sunday", "opening hours", "when do you close today"],
    "jobs": ["are you hiring", "I want to work here", "do you have a vacancy", "apply for a job"],
}


class _First:
    """Chooses at once, so that what is left is the engine."""

    def decide_now(self, question: RouteQuestion) -> Decision:  # noqa: ARG002 - the port's shape
        """The first agent."""
        return Decision("first", "sales")

    async def decide(self, question: RouteQuestion) -> Decision:
        """The same."""
        return self.decide_now(question)


def fit_first(candidates: tuple[Candidate, ...], options: StrategyOptions) -> _First:  # noqa: ARG001 - the port's shape
    """A strategy that costs nothing."""
    return _First()


FIT: Final[dict[str, FitStrategy]] = {"first": fit_first, "lexical": fit_lexical, "intent": fit_intent}


def _agent(name: str, examples: Sequence[str]) -> AgentSpec:
    spec: dict[str, Any] = dict.fromkeys(AgentSpec.__annotations__)
    lists = ("tools", "knowledge", "keywords", "skills", "reflex", "escalate_when")
    spec |= {key: [] for key in lists}
    spec |= {
        "name": name,
        "role": "specialist",
        "description": f"Everything about {name}.",
        "models": ["m"],
        "instructions": f"You answer questions of shoppers about {name}, in one or two short sentences.",
        "examples": list(examples),
        "history_turns": 1000,
        "max_steps": 8,
        "max_tool_calls": 16,
        "max_tokens": 160,
        "temperature": 0.0,
    }
    return cast(AgentSpec, spec)


def _router(strategy: str) -> RouterSpec:
    routes = [{"to": name, "when": {}, "description": "", "examples": [], "keywords": []} for name in EXAMPLES]
    spec = {
        "name": "front",
        "strategy": strategy,
        "stages": [],
        "encoder": "",
        "routes": routes,
        "default": "sales",
        "on_unsure": "default",
        "confidence": None,
        "models": ["m"],
        "escalate_to": None,
    }
    return cast(RouterSpec, spec)


def deployment(strategy: str, provider: Provider, url: str, slots: int) -> Deployment:
    """Ready to serve; ``strategy`` is ``first`` (costs nothing), ``lexical`` (no model) or ``intent`` (a model call)."""
    specs = {name: _agent(name, examples) for name, examples in EXAMPLES.items()}
    router, bindings = _router(strategy), {"m": Binding("m", ("m@1",))}
    targets = cast(Any, specs)
    return Deployment(
        blueprint=Blueprint("shop", "single-device", "router.front", {}),
        revision=1,
        applied=0.0,
        agents={name: make_agent(spec, bindings, {}, {}, cast(Any, None)) for name, spec in specs.items()},
        routers={"front": make_router(router, targets, FIT[strategy], ("m@1",))},
        bindings=bindings,
        endpoints={"m@1": EndpointSpec("m@1", Target(provider.kind, url, "canned"), provider, slots)},
        tools={},
    )


def _nobody(event: Event) -> None:
    """A sink that does nothing: what the runtime's sinks do has a row of its own (``engine.py``)."""


@asynccontextmanager
async def engine_of(
    strategy: str, provider: Provider, url: str = "", slots: int = 64, emit: Emit = _nobody
) -> AsyncIterator[Engine]:
    """An engine over a loop of its own."""
    made = deployment(strategy, provider, url, slots)
    loop = Loop(on_event=emit)
    async with anyio.create_task_group() as tasks:
        await tasks.start(loop.run)
        loop.set_endpoints(made.endpoints)
        yield Engine(made, loop, Sessions(), emit)
        tasks.cancel_scope.cancel()
