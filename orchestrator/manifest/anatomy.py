"""Which model of the format describes the part at a path, and what that part is called in messages."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin

from orchestrator.manifest.spec.fields import Spec
from orchestrator.manifest.spec.manifest import Manifest

_LISTS: Final = {"agents": ("agent", "name"), "models": ("model", "alias"), "tools": ("tool", "name"),
                 "nodes": ("node", "id"), "knowledge": ("knowledge", "name")}  # fmt: skip
_TITLES: Final = {
    "Manifest": "a manifest",
    "DeploymentSpec": "a deployment",
    "AgentEntry": "an agent",
    "ModelEntry": "a model",
    "ToolEntry": "a tool",
    "NodeEntry": "a node",
    "KnowledgeEntry": "a document set",
    "ReflexRule": "a reflex rule",
    "When": "a condition",
    "CallOptions": "a model's options",
    "ServerOptions": "a model's server",
    "NamedQuery": "a query",
    "RoutingDefaults": "routing",
    "EscalationDefaults": "escalation",
    "QueueClass": "a queue",
    "Signs": "signs",
    "Abstains": "an abstention",
    "LowConfidence": "low confidence",
    "SelfCheck": "a self-check",
    "Judge": "a judge",
}


def title_of(spec: type[Spec]) -> str:
    """How a part is called in a sentence: ``an agent``, ``security``."""
    return _TITLES.get(spec.__name__, spec.__name__.lower())


def spec_at(path: Sequence[str | int]) -> type[Spec] | None:
    """The model of the map at a path of the tree, or ``None`` where the path leads out of the format."""
    found: type[Spec] | None = Manifest
    free = False
    for step in path:
        if isinstance(step, int):
            continue
        if free:
            free = False
            continue
        if found is None or step not in found.model_fields:
            return None
        annotation = found.model_fields[step].annotation
        free = _is_map_of(annotation)
        found = _spec_in(annotation)
    return found


def _spec_in(annotation: Any) -> type[Spec] | None:
    return next(iter(specs_in(annotation)), None)


def _is_map_of(annotation: Any) -> bool:
    return get_origin(annotation) is dict


def _parts(annotation: Any) -> Iterator[Any]:
    """The types inside an annotation, flat."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in (Union, types.UnionType, list):
        for inner in get_args(annotation):
            yield from _parts(inner)
    elif origin is dict:
        yield from _parts(get_args(annotation)[1])
    else:
        yield annotation


def specs_in(annotation: Any) -> list[type[Spec]]:
    """The models inside an annotation."""
    return [part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, Spec)]


def specs_below(spec: type[Spec]) -> list[type[Spec]]:
    """The model and every model inside it, each once."""
    found = [spec]
    for one in found:
        for field in one.model_fields.values():
            found += [part for part in specs_in(field.annotation) if part not in found]
    return found


def subject_at(tree: Any, path: Sequence[str | int]) -> str:
    """What a path is in, for people: ``agent.refunds``, else the path of the map."""
    for depth in range(len(path), 1, -1):
        if isinstance(path[depth - 1], int) and path[depth - 2] in _LISTS:
            kind, key = _LISTS[str(path[depth - 2])]
            item = value_at(tree, path[:depth])
            name = item.get(key) if isinstance(item, dict) else item
            if isinstance(name, str) and name:
                return f"{kind}.{name}"
    return dotted(path[:-1])


def dotted(path: Sequence[str | int]) -> str:
    """A path as a text: ``deployment.agents[0].name``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def value_at(tree: Any, path: Sequence[str | int]) -> Any:
    """The value at a path, or ``None``."""
    for step in path:
        try:
            tree = tree[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
