"""Models fit the memory that the manifest gives their device: where it gives none, that is for the plan to measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

from orchestrator.core.diagnostic import Severity
from orchestrator.core.memory import ASSUMED_CONTEXT, PINNED, Budget, Need, Window, kept, need_of
from orchestrator.core.quantity import format_size
from orchestrator.graph.finding import Finding
from orchestrator.graph.graph import AgentGraph
from orchestrator.graph.sizes import build_meant, sizes
from orchestrator.graph.vertex import Vertex
from orchestrator.manifest.spec.model import ModelEntry

SMALLEST: Final = "q2_k"
"""The smallest build that servers commonly have; smaller ones are hardly of use for small models."""

TURNS: Final = "They take turns; a smaller build or context_length of one may save that."
STARTED: Final = (
    "Started servers take turns, and a request waits while one starts; one that is pinned stays. "
    "A smaller build or context_length of one may save that."
)
UNLIMITED: Final = (
    "Write resources.max_memory_usage: started servers take turns within it, and without it one without room may not start. "
    "Or take a smaller build or context_length of one."
)
UNPIN: Final = "Pin less, raise resources.max_memory_usage, or take a smaller model."
CURE: Final = "Take a smaller model, or correct hardware, resources.max_memory_usage or the model's memory."


def models_fit(graph: AgentGraph) -> list[Finding]:
    """No model is larger than its device, and all of one device fit together or take turns."""
    return [finding for place, budget in graph.budgets.items() for finding in _at(graph, place, budget)]


def _at(graph: AgentGraph, place: str, budget: Budget) -> Iterator[Finding]:
    where = f" on {place}" if place else ""
    needs: dict[str, int] = {}
    for vertex in _models_at(graph, place):
        need = _need(vertex)
        finding = _impossible(vertex, budget, where) or (_too_much(vertex, need, budget, where) if need else None)
        if finding is not None:
            yield finding
        elif need is not None:
            needs[vertex.name] = need.total
    beside = list(_no_room_beside_pinned(graph, place, budget, needs))
    yield from beside
    for finding in beside:
        del needs[finding.subject.partition(".")[2]]
    if len(needs) > 1 and sum(needs.values()) > budget.total:
        listed = " + ".join(f"{name} {format_size(size)}" for name, size in needs.items())
        together = f"{listed} = {format_size(sum(needs.values()))}{where}, and models may take {budget}"
        first = f"model.{next(iter(needs))}"
        started = any(cast(ModelEntry, vertex.part).server for vertex in _models_at(graph, place))
        message = f"not all models fit at once: {together}"
        cure = TURNS if not started else UNLIMITED if budget.limit is None else STARTED
        yield Finding("ORC322", first, message, cure, Severity.NOTE)


def _no_room_beside_pinned(
    graph: AgentGraph, place: str, budget: Budget, needs: Mapping[str, int]
) -> Iterator[Finding]:
    """Models that could be loaded only by unloading what must not be. What is not limited is not held to anything."""
    models = {vertex.name: cast(ModelEntry, vertex.part) for vertex in _models_at(graph, place) if vertex.name in needs}
    on_request = {name: needs[name] for name, model in models.items() if not model.server}
    held = kept({name: size for name, size in on_request.items() if models[name].pinned}, budget.total)
    room = budget.less(held, PINNED)
    for name, size in on_request.items() if budget.limit is not None else ():
        if name not in held and size > room.total:
            where = f" on {place}" if place else ""
            message = f"{name} has no room{where} beside what is pinned: it needs {format_size(size)}, and models may take {room}"
            yield Finding("ORC321", f"model.{name}", message, UNPIN, Severity.WARNING)


def _models_at(graph: AgentGraph, place: str) -> list[Vertex]:
    """Those that are served on a device: of a node, what runs on it; of the only one, all that are not elsewhere."""
    if place:
        there = {link.source for link in graph.into(place, "runs_on")}
        return [vertex for vertex in graph.vertices("model") if vertex.address in there]
    return [vertex for vertex in graph.vertices("model") if vertex.facts["zone"] == "node"]


def _impossible(vertex: Vertex, budget: Budget, where: str) -> Finding | None:
    """Even the bare weights of the smallest build are too large: no server can change that."""
    model = cast(ModelEntry, vertex.part)
    known = sizes(model)
    build = (model.quantization or SMALLEST).casefold()
    weights = known.whole or known.weights(build)
    if weights is None or budget.fit(Need(weights, whole=True)) != "never":
        return None
    what = "" if known.whole else f" for its weights in {build}"
    message = f"{vertex.name} can never fit{where}: it takes {format_size(weights)}{what}, and models may take {budget}"
    return Finding("ORC320", vertex.address, message, CURE)


def _need(vertex: Vertex) -> Need | None:
    """What it takes as the manifest asks for it; servers may still be told otherwise."""
    model = cast(ModelEntry, vertex.part)
    return need_of(sizes(model), build_meant(model), _window(model))


def _window(model: ModelEntry) -> Window:
    """As it is written: of several numbers of requests at once the least, and the context that a started server is told."""
    server = model.server
    told = (server.context_length or server.max_model_len) if server else None
    context = told or model.context_length
    slots = [each for each in (server.max_num_seqs if server else None, model.max_concurrent) if each]
    return Window(context or ASSUMED_CONTEXT, min(slots, default=1), not context)


def _too_much(vertex: Vertex, need: Need, budget: Budget, where: str) -> Finding | None:
    if budget.fit(need) == "fits":
        return None
    message = f"{vertex.name} does not fit{where} as it is written: it needs {need}, and models may take {budget}"
    cure = "Take a smaller build (quantization), a smaller context_length, or a smaller model."
    return Finding("ORC321", vertex.address, message, cure, Severity.WARNING)
