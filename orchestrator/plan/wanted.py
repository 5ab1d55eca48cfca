"""The parts that a blueprint wants live, each as facets: two parts are the same exactly when all their facets are. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from orchestrator.core.address import Address
from orchestrator.core.blueprint import Blueprint, Element
from orchestrator.core.digest import digest_of
from orchestrator.plan.binding import Bound, BoundEndpoint
from orchestrator.plan.observed import Facets
from orchestrator.ports.provider import Capability

_SEEN_BY_ROUTERS: Final = ("description", "examples", "keywords", "skills")
"""What a router learns of an agent; anything else may change without fitting the router again."""
DOOR: Final = Address.of("endpoint", "door")
"""The deployment's own port, where it has one."""


_NONE: Final[Mapping[str, str]] = {}


def wanted_parts(
    blueprint: Blueprint, bound: Mapping[str, Bound], contents: Mapping[str, str] = _NONE
) -> dict[str, Facets]:
    """Facets of every part, by address: models, tools, knowledge, agents, routers, the door, and the deployment as such.

    ``contents`` are those of the observed state.
    """
    around = _Around(blueprint, bound, contents)
    parts = {address: _facets(element, around) for address, element in blueprint.elements.items()}
    parts[DOOR] = _digests({"host": blueprint.serve.host, "port": blueprint.serve.port})
    parts[Address.of("deployment", blueprint.name)] = _digests(
        {
            "type": blueprint.type,
            "entry": blueprint.entry,
            "queue": blueprint.queue,
            "timeout": blueprint.timeout,
            "limits": blueprint.max_concurrent,
            "escalations": blueprint.most_escalations,
            "resources": blueprint.resources,
            "hardware": blueprint.hardware,
            "labels": blueprint.labels,
            "people": blueprint.people,
            "policy": blueprint.policy,
            "folder": blueprint.folder,
            "tool roots": list(blueprint.tool_roots),
        }
    )
    return parts


def has_own_door(parts: Mapping[str, Facets]) -> bool:
    """Whether these parts have a port of their own, beside the runtime's."""
    return DOOR in parts and parts[DOOR]["port"] != digest_of(None)


@dataclass(frozen=True, slots=True)
class _Around:
    """What a part may depend on beside its own spec."""

    blueprint: Blueprint
    bound: Mapping[str, Bound]
    contents: Mapping[str, str]

    def servers(self, aliases: list[str]) -> list[Any]:
        """What serves these aliases and their fallbacks."""
        bound = self.bound
        known = [alias for alias in with_fallbacks(aliases, self.blueprint) if alias in bound]
        return [[alias, _servers(bound[alias], self.blueprint)] for alias in known]

    def place(self) -> list[Any]:
        """Where tools find their files."""
        return [self.blueprint.folder, list(self.blueprint.tool_roots)]

    def tool(self, element: Element) -> list[Any]:
        """Everything by which a live tool differs from another one."""
        return [element.digest, self.place(), self.contents.get(element.address, "")]


def _facets(element: Element, around: _Around) -> Facets:
    sides = {name.replace("_", " "): value for name, value in element.spec.items() if name not in ("name", "alias")}
    match element.kind:
        case "model":
            sides["options of its server"] = sides.pop("server", None)
            sides["server"] = _without_rest(_servers(around.bound[element.spec["alias"]], around.blueprint))
        case "tool":
            sides["place"] = around.place()
            sides["code"] = around.contents.get(element.address, "")
        case "agent":
            sides |= _surroundings(element.spec, around)
        case "router":
            sides["servers"] = around.servers(element.spec["models"])
            if element.spec["encoder"]:  # what it learned is of these vectors
                sides["servers of its encoder"] = around.servers([element.spec["encoder"]])
                sides["redaction"] = around.blueprint.policy.get("redaction", {})
            sides["agents"] = [_as_candidate(route["to"], around.blueprint) for route in element.spec["routes"]]
    sides["needs"] = list(element.needs)
    return _digests(sides)


def _surroundings(spec: Mapping[str, Any], around: _Around) -> dict[str, Any]:
    """What an agent holds of other parts: it must be made again when one of them is."""
    elements = around.blueprint.elements
    held = [elements.get(Address.of("tool", name)) for name in spec["tools"]]
    held += [elements.get(Address.of("knowledge", name)) for name in spec["knowledge"]]
    servers = around.servers(spec["models"])
    return {
        "servers": [[alias, _without_rest(each)] for alias, each in servers],
        "rest of its models": [_rest(alias, around.blueprint) for alias, _ in servers],
        "call options": [_options(alias, around.blueprint) for alias in spec["models"]],
        "a tool of it": [around.tool(element) for element in held if element],
    }


def with_fallbacks(aliases: list[str], blueprint: Blueprint) -> list[str]:
    """These aliases, then their fallbacks, each once."""
    models = [blueprint.elements.get(Address.of("model", alias)) for alias in aliases]
    further = [other for model in models if model for other in model.spec["fallback"]]
    return list(dict.fromkeys([*aliases, *further]))


def _servers(bound: Bound, blueprint: Blueprint) -> list[Any]:
    """Without what a model takes just now, and what its server tells only while it is loaded: that changes with each load, and is
    no other part."""
    model = blueprint.elements.get(Address.of("model", bound.alias))
    written = {"slots": model.spec["max_concurrent"], "context": model.spec["window"]} if model else {}
    return [_as_unloaded(each, written) for each in bound.endpoints] or [bound.missing]


def _as_unloaded(endpoint: BoundEndpoint, written: Mapping[str, Any]) -> dict[str, Any]:
    told = {"bounded": False, **written} if tells_late(endpoint) else {}
    return {**asdict(endpoint), **told, "memory": None, "holds": 0}


def tells_late(endpoint: BoundEndpoint) -> bool:
    """Whether its server loads models on request, and may tell the context and the slots of one only while it is loaded."""
    return endpoint.capabilities.get(Capability.LOAD) == "yes"


_RESTS: Final = ("keep_alive", "pinned")
"""How long a model may rest on its server: what the manifest says of the model, and no other server."""


def _without_rest(servers: list[Any]) -> list[Any]:
    return [{**each, **dict.fromkeys(_RESTS)} if isinstance(each, dict) else each for each in servers]


def _rest(alias: str, blueprint: Blueprint) -> Any:
    model = blueprint.elements.get(Address.of("model", alias))
    return [model.spec[side] for side in _RESTS] if model else None


def _options(alias: str, blueprint: Blueprint) -> Any:
    model = blueprint.elements.get(Address.of("model", alias))
    return dict(model.spec["options"]) if model else None


def _as_candidate(name: str, blueprint: Blueprint) -> list[Any]:
    router = blueprint.elements.get(Address.of("router", name))
    if router is not None:  # a router stands for everything that it leads to; the graph has no circle of routers
        return [name, *([route, _as_candidate(route["to"], blueprint)] for route in router.spec["routes"])]
    agent = blueprint.elements.get(Address.of("agent", name))
    return [name, *(agent.spec[side] for side in _SEEN_BY_ROUTERS)] if agent else [name]


def _digests(sides: Mapping[str, Any]) -> Facets:
    return {side: digest_of(value) for side, value in sides.items()}
