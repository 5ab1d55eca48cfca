"""Lower a graph to a blueprint: plain values that the planner compares, the store keeps and the runtime serves from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.blueprint import (
    AgentSpec,
    Blueprint,
    Element,
    KnowledgeSpec,
    ModelSpec,
    ReflexSpec,
    RouterSpec,
    RouteSpec,
    ServerSpec,
    ServeSpec,
    ToolSpec,
)
from orchestrator.core.choices import PriorityClass
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.lower_nodes import add_placement, lowered_coordination, lowered_nodes
from orchestrator.graph.sizes import build_meant, sizes
from orchestrator.graph.transforms.agents import target_of
from orchestrator.graph.vertex import Vertex
from orchestrator.manifest.catalogue.reader import find_model, ids_of
from orchestrator.manifest.inference.models import aliases, is_embedder
from orchestrator.manifest.located import Located
from orchestrator.manifest.spec.agent import AgentEntry, ReflexRule, Route, When
from orchestrator.manifest.spec.doubt import gate_of, words_of
from orchestrator.manifest.spec.manifest import Manifest
from orchestrator.manifest.spec.model import ModelEntry
from orchestrator.manifest.spec.operate import Hardware, HardwareItem
from orchestrator.manifest.spec.policy import Budget
from orchestrator.manifest.spec.server import ServerOptions
from orchestrator.manifest.spec.tool import KnowledgeEntry, ToolEntry
from orchestrator.manifest.zone import zone_of
from orchestrator.ports.encoder import MINILM
from orchestrator.ports.installed import is_plugin

PRIORITIES: Final[Mapping[str, PriorityClass]] = {"high": "interactive", "normal": "default", "low": "bulk"}
CASCADE: Final = ("rules", "keyword", "lexical")
"""The stages of a cascade that names none; ``semantic`` is added where it has an encoder, ``intent`` where it has a model."""
SEMANTIC: Final = "semantic"
ANY_PROVIDER: Final = "*"
NO_REASONS: Final[Mapping[str, str]] = {}
CONTEXT_OPTION: Final = {"llama-cpp": "context_length", "ollama": "context_length", "vllm": "max_model_len"}
"""The server's option that a model's own `context_length` goes to; other makes have no limit that can be set."""


def lower(
    graph: AgentGraph, manifest: Manifest, located: Located, reasons: Mapping[str, str] = NO_REASONS
) -> Blueprint:
    """The blueprint of a checked graph. ``located`` says where its paths lead; ``reasons``, why agents got their models, by
    name, where one was chosen of several."""
    deployment = manifest.deployment
    elements = [_element(graph, vertex, located, reasons) for vertex in graph.vertices() if vertex.kind != "node"]
    return Blueprint(
        name=graph.name,
        type=deployment.type,
        entry=graph.entry,
        elements={element.address: element for element in elements},
        serve=ServeSpec(deployment.serve.host, deployment.serve.port),
        queue=deployment.queue.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        timeout=deployment.timeout,
        max_concurrent=deployment.resources.max_concurrent_agents,
        hardware=_hardware(deployment.hardware),
        resources=deployment.resources.model_dump(exclude_none=True),
        people=deployment.people.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
        policy=_policy(manifest),
        tool_roots=tuple(located.of(root) for root in deployment.security.tool_roots),
        most_escalations=deployment.escalation.most,
        folder=located.folder,
        labels=dict(manifest.metadata.labels),
        nodes=lowered_nodes(graph, manifest),
        coordination=lowered_coordination(manifest),
    )


def _policy(manifest: Manifest) -> dict[str, Any]:
    """What may leave, and what it may cost: only what is written."""
    deployment = manifest.deployment
    redaction = deployment.security.redaction.model_dump(mode="json", exclude_defaults=True)
    budget = deployment.escalation.budget
    approval = deployment.escalation.approval
    written = {"redaction": redaction, "budget": _budget(budget), "approval": approval if approval != "never" else ""}
    return {name: value for name, value in written.items() if value}


def _budget(budget: Budget | None) -> dict[str, Any]:
    return budget.model_dump(mode="json", exclude_none=True, exclude_defaults=True) if budget is not None else {}


def _hardware(item: HardwareItem | None) -> dict[str, Any]:
    """Numbers only: a profile's name describes a device that is measured."""
    return item.model_dump(exclude_none=True) if isinstance(item, Hardware) else {}


def _element(graph: AgentGraph, vertex: Vertex, located: Located, reasons: Mapping[str, str]) -> Element:
    links = graph.out_of(vertex.address, "uses", "route", "default")
    needs = tuple(dict.fromkeys(link.target for link in links))  # a route and the default may lead to one agent
    if isinstance(vertex.part, ModelEntry):
        return Element(vertex.address, "model", dict(_model(vertex.part, located)), needs)
    if isinstance(vertex.part, ToolEntry):
        return Element(vertex.address, "tool", dict(_tool(vertex.part, located)), needs)
    if isinstance(vertex.part, KnowledgeEntry):
        return Element(vertex.address, "knowledge", dict(_knowledge(vertex.part, located)), needs)
    if vertex.kind == "router":
        return Element(vertex.address, "router", dict(_router(vertex.part, located)), needs)
    return Element(vertex.address, "agent", dict(_agent(vertex.part, reasons)), needs)


def _model(model: ModelEntry, located: Located) -> ModelSpec:
    spec = _priceless(model, located)
    if model.price is not None:
        spec["price"] = model.price.model_dump()
    return spec


def _priceless(model: ModelEntry, located: Located) -> ModelSpec:
    row, known = find_model(model.alias), sizes(model)
    chosen = model.model
    ids = ids_of(row) if row else {}
    if chosen:
        ids = {model.provider or ANY_PROVIDER: [chosen]}
    elif not row:
        ids = {ANY_PROVIDER: [model.alias]}
    return ModelSpec(
        alias=model.alias,
        kind="embedding" if is_embedder(model) else "chat",
        provider=model.provider,
        ids=ids,
        endpoint=model.endpoint,
        api_key=model.api_key,
        zone=zone_of(model),
        tasks=list(model.tasks),
        primary=model.primary,
        secondary=model.secondary,
        complexity=list(model.complexity),
        priorities=[PRIORITIES[name] for name in model.priorities],
        context_length=model.context_length or (row["context_length"] if row else None),
        max_concurrent=model.max_concurrent,
        memory=known.whole or known.weights(build_meant(model)),
        whole_memory=known.whole,
        builds=dict(known.builds),
        cache_per_token=known.per_token,
        served_as=dict(row.get("served_as", {})) if row else {},
        quantization=model.quantization.casefold() if model.quantization else None,
        named=model.model,
        window=model.context_length,
        options=model.options.model_dump(exclude_none=True),
        server=_server(model, ids, located),
        fallback=list(model.fallback),
        keep_alive=model.keep_alive,
        pinned=model.pinned,
    )


def _server(model: ModelEntry, ids: Mapping[str, list[str]], located: Located) -> ServerSpec | None:
    server, kind = model.server, model.provider
    if server is None or kind is None:
        return None
    named = next(iter(ids.get(kind) or ids.get(ANY_PROVIDER) or [model.alias]))
    spec = ServerSpec(
        kind=kind,
        model=located.of(server.path) if server.path else named,
        scenario=server.scenario,
        host=server.host,
        port=server.port,
        start_timeout=server.start_timeout,
        remote_code=server.remote_code,
        options=_server_options(model, server, kind, located),
    )
    if server.max_instances > 1:
        spec["max_instances"] = server.max_instances
    return spec


def _server_options(model: ModelEntry, server: ServerOptions, kind: str, located: Located) -> dict[str, Any]:
    """What the manifest gives, and what it says of the model elsewhere."""
    given = server.given()
    context = CONTEXT_OPTION.get(kind)
    if model.context_length and context:
        given.setdefault(context, model.context_length)
    if model.max_concurrent:
        given["max_num_seqs"] = min(given.get("max_num_seqs", model.max_concurrent), model.max_concurrent)
    draft = given.get("speculative_model", "")
    given |= {"speculative_model": located.of(draft)} if draft in located.places else {}
    return given


def _agent(agent: AgentEntry, reasons: Mapping[str, str]) -> AgentSpec:
    kept = agent.store_and_forward
    spec = _plain_agent(agent)
    if kept is True:
        spec["store_and_forward"] = {}
    elif kept:
        spec["store_and_forward"] = kept.model_dump(exclude_defaults=True)
    if budget := _budget(agent.budget):
        spec["budget"] = budget
    if agent.name in reasons:
        spec["model_why"] = reasons[agent.name]
    return spec


def _plain_agent(agent: AgentEntry) -> AgentSpec:
    restricted = agent.privacy_mode or bool(agent.compliance)
    spec = AgentSpec(
        name=agent.name,
        role="escalation" if agent.role == "escalation" else "specialist",
        description=agent.description,
        models=aliases(agent),
        instructions=agent.instructions or "",
        tools=list(agent.tools),
        knowledge=list(agent.knowledge),
        examples=list(agent.examples),
        keywords=[*agent.keywords, *_specialities(agent)],
        skills=[skill.model_dump() for skill in agent.skills],
        max_tokens=agent.max_tokens,
        temperature=agent.temperature,
        timeout=agent.timeout,
        offline=agent.offline_mode or restricted,
        data_class="restricted" if restricted else "internal",
        output_schema=dict(agent.output_schema) if agent.output_schema else None,
        escalate_to=agent.escalate_to,
        escalate_when=words_of(agent.escalate_when),
        reflex=[_reflex(rule) for rule in agent.reflex],
        human=agent.human.model_dump(exclude_none=True) if agent.human else None,
        history_turns=agent.memory.turns,
        max_steps=agent.limits.steps,
        max_tool_calls=agent.limits.tool_calls,
        max_total_tokens=agent.limits.tokens,
        priority=PRIORITIES[agent.priority] if agent.priority else None,
    )
    gate = gate_of(agent.escalate_when)
    if gate and agent.escalate_to:
        spec["gate"] = gate
    if agent.complexity:
        spec["complexity"] = list(agent.complexity)
    add_placement(spec, agent)
    return spec


def _specialities(agent: AgentEntry) -> list[str]:
    named = agent.specialized_for
    texts = [named] if isinstance(named, str) else list(named or ())
    return [text.replace("_", " ") for text in texts]


def _reflex(rule: ReflexRule) -> ReflexSpec:
    return ReflexSpec(
        when=_when(rule.when),
        extract=dict(rule.extract),
        call=rule.call,
        arguments=dict(rule.arguments),
        say=rule.say,
        first=not rule.without_model,
        unsure=rule.unsure,
    )


def _when(when: When) -> dict[str, Any]:
    return when.model_dump(exclude_none=True)


def _router(router: AgentEntry, located: Located) -> RouterSpec:
    models = aliases(router)
    strategy = router.strategy or "cascade"
    learned = [SEMANTIC] if router.encoder else []
    stages: list[str] = list(router.stages) or [*CASCADE, *learned, *(["intent"] if models else [])]
    used = strategy == SEMANTIC or (strategy == "cascade" and SEMANTIC in stages)
    spec = RouterSpec(
        name=router.name,
        strategy=strategy,
        stages=stages,
        encoder=_encoder(router.encoder or MINILM, located) if used else "",
        routes=[_route(route) for route in router.routes],
        default=router.default,
        on_unsure="default" if router.default else "escalate" if router.escalate_to else "ask",
        confidence=router.confidence,
        models=models,
        escalate_to=router.escalate_to,
    )
    if router.several:
        spec["several"] = True
    if router.model_confidence:
        spec["model_confidence"] = {str(kind): least for kind, least in router.model_confidence.items()}
    return spec


def _encoder(written: str, located: Located) -> str:
    return located.of(written) if "/" in written else written


def _route(route: Route | str) -> RouteSpec:
    if isinstance(route, str):
        return RouteSpec(to=target_of(route), when={}, description="", examples=[], keywords=[])
    spec = RouteSpec(
        to=route.to,
        when=_when(route.when),
        description=route.description,
        examples=list(route.examples),
        keywords=list(route.keywords),
    )
    if route.strict:
        spec["strict"] = True
    if route.complexity:
        spec["complexity"] = list(route.complexity)
    return spec


def _tool(tool: ToolEntry, located: Located) -> ToolSpec:
    kind = "python" if tool.python else tool.use or tool.name
    options = tool.model_dump(
        exclude_none=True, exclude_defaults=True, exclude={"name", "use", "functions", "timeout", "approval"}
    )
    if is_plugin(kind):
        options = dict(tool.plugin_options)
    elif tool.path is not None:
        options["path"] = located.of(tool.path)
    if tool.python:
        options["functions"] = list(tool.functions)
    allowed = [] if tool.python else list(tool.functions)
    spec = ToolSpec(name=tool.name, kind=kind, options=options, allowed=allowed, timeout=tool.timeout)
    if tool.approval != "never":
        spec["approval"] = tool.approval
    return spec


def _knowledge(knowledge: KnowledgeEntry, located: Located) -> KnowledgeSpec:
    return KnowledgeSpec(name=knowledge.name, path=located.of(knowledge.path), include=list(knowledge.include))
