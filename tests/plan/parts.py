"""Blueprints and servers for the tests of the planner: small, whole, and changed one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.core.blueprint import AgentSpec, Blueprint, Element, ModelSpec, RouterSpec, ServeSpec, ToolSpec
from orchestrator.plan.binding import bind_all
from orchestrator.plan.observed import ObservedDeployment, ObservedServer, ObservedState
from orchestrator.plan.serving import answered, who_serves
from orchestrator.plan.wanted import wanted_parts
from orchestrator.ports.provider import ServedModel


def model(alias: str = "phi-4-mini", **changes: Any) -> ModelSpec:
    """A model of the catalogue, on whichever server serves it."""
    spec = ModelSpec(
        alias=alias,
        kind="chat",
        provider=None,
        ids={"ollama": ["phi4-mini:latest"], "llama-cpp": ["Phi-4-mini-instruct-Q4_K_M.gguf"]},
        endpoint=None,
        api_key=None,
        zone="node",
        tasks=[],
        primary=True,
        secondary=False,
        complexity=[],
        priorities=[],
        context_length=None,
        max_concurrent=None,
        memory=2_500_000_000,
        whole_memory=None,
        builds={"q4_k_m": 2_500_000_000, "q8_0": 4_000_000_000, "f16": 7_700_000_000},
        cache_per_token=131_072,
        served_as={"ollama": "q4_k_m"},
        quantization=None,
        named=None,
        window=None,
        options={},
        server=None,
        fallback=[],
        keep_alive=None,
        pinned=False,
    )
    return ModelSpec(**{**spec, **changes})  # type: ignore[typeddict-item] # the keys are those of the test


def agent(name: str, **changes: Any) -> AgentSpec:
    """A specialist without a model."""
    spec = AgentSpec(
        name=name,
        role="specialist",
        description=f"answers about {name}",
        models=[],
        instructions="",
        tools=[],
        knowledge=[],
        examples=[],
        keywords=[],
        skills=[],
        max_tokens=None,
        temperature=None,
        timeout=None,
        offline=False,
        data_class="internal",
        output_schema=None,
        escalate_to=None,
        escalate_when=[],
        reflex=[],
        human=None,
        history_turns=20,
        max_steps=8,
        max_tool_calls=16,
        max_total_tokens=None,
        priority=None,
    )
    return AgentSpec(**{**spec, **changes})  # type: ignore[typeddict-item] # the keys are those of the test


def rule(say: str = "yes") -> dict[str, Any]:
    """A reflex rule that always fires."""
    return {"when": {}, "extract": {}, "call": None, "arguments": {}, "say": say, "unsure": False, "first": False}


def router(name: str, *agents: str, **changes: Any) -> RouterSpec:
    """A lexical router over these agents."""
    routes = [{"to": to, "when": {}, "description": "", "examples": [], "keywords": []} for to in agents]
    spec = {
        "name": name,
        "strategy": "lexical",
        "stages": [],
        "encoder": "",
        "routes": routes,
        "default": None,
        "on_unsure": "ask",
        "confidence": None,
        "models": [],
        "escalate_to": None,
    }
    return RouterSpec(**{**spec, **changes})  # type: ignore[typeddict-item] # the keys are those of the test


def tool(name: str, **options: Any) -> ToolSpec:
    """A built-in tool."""
    return ToolSpec(name=name, kind=name, options=options, allowed=[], timeout=10.0)


def blueprint(*specs: Any, name: str = "kiosk", entry: str = "", port: int | None = None) -> Blueprint:
    """A blueprint of these specs, in this order; requests enter at the last one unless ``entry`` says else."""
    elements = [_element(spec) for spec in specs]
    return Blueprint(
        name=name,
        type="single-device",
        entry=entry or elements[-1].address,
        elements={element.address: element for element in elements},
        serve=ServeSpec(port=port),
        folder="/shop",
    )


def kiosk(**stock: Any) -> Blueprint:
    """Two agents behind a router, one model, one tool."""
    first = agent("stock", models=["phi-4-mini"], tools=["tickets"], reflex=[rule()], **stock)
    return blueprint(
        model(), tool("tickets"), first, agent("hours", models=["phi-4-mini"]), router("desk", "stock", "hours")
    )


def _element(spec: Any) -> Element:
    if "alias" in spec:
        return Element(f"model.{spec['alias']}", "model", spec)
    if "routes" in spec:
        return Element(
            f"router.{spec['name']}",
            "router",
            spec,
            (*(f"agent.{each['to']}" for each in spec["routes"]), *(f"model.{alias}" for alias in spec["models"])),
        )
    if "role" in spec:
        uses = {"model": spec["models"], "tool": spec["tools"], "knowledge": spec["knowledge"]}
        needs = tuple(f"{kind}.{name}" for kind, names in uses.items() for name in names)
        return Element(f"agent.{spec['name']}", "agent", spec, needs)
    if "include" in spec:
        return Element(f"knowledge.{spec['name']}", "knowledge", spec)
    return Element(f"tool.{spec['name']}", "tool", spec)


def ollama(*ids: str, port: int = 11434, **changes: Any) -> ObservedServer:
    """An Ollama that serves these models."""
    url = f"http://127.0.0.1:{port}"
    models = tuple(ServedModel(each, kind="chat") for each in ids)
    return replace(ObservedServer("ollama", url, f"{url}/v1", models, "0.20.0"), **changes)


def state(*servers: ObservedServer, **changes: Any) -> ObservedState:
    """A runtime that serves nothing yet, and these servers."""
    return replace(ObservedState(runtime="0.1.0", servers=servers), **changes)


def after(applied: Blueprint, observed: ObservedState, revision: int = 1) -> ObservedState:
    """What is observed once ``applied`` runs."""
    bound = bind_all(applied, observed)
    parts = wanted_parts(applied, bound)
    there = answered(who_serves(applied, bound))
    live = ObservedDeployment(applied.name, revision, applied.digest, parts, answered=there)
    return replace(observed, deployments={**observed.deployments, applied.name: live})
