"""Who answers for each agent with what is there now, and what each would gain from what is missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import AgentSpec, Blueprint
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import Bound, BoundEndpoint
from orchestrator.plan.plan import AgentServing
from orchestrator.plan.wanted import with_fallbacks
from orchestrator.ports.provider import Capability, can_call


def who_serves(blueprint: Blueprint, bound: Mapping[str, Bound]) -> tuple[AgentServing, ...]:
    """One line for each agent, in the manifest's order."""
    specs = [cast(AgentSpec, element.spec) for element in blueprint.of_kind("agent")]
    return tuple(_serving(spec, blueprint, bound) for spec in specs)


def _serving(spec: AgentSpec, blueprint: Blueprint, bound: Mapping[str, Bound]) -> AgentServing:
    address = Address.of("agent", spec["name"])
    aliases = [alias for alias in with_fallbacks(spec["models"], blueprint) if alias in bound]
    served = [bound[alias] for alias in aliases if bound[alias].endpoints]
    able = served if not _calls(spec) else [each for each in served if any(map(_can_call, each.endpoints))]
    if able:
        return AgentServing(address, _by_model(spec, able[0]))
    without = without_model(spec)
    if served:
        return AgentServing(address, without, _no_calls(served), NO_CALLS_CURE)
    if not aliases:
        return AgentServing(address, without)
    first = bound[aliases[0]]
    gain = f"with {_sized(aliases[0], blueprint)} {_gain(spec)}"
    return AgentServing(address, without, f"{first.missing}; {gain}" if first.locked else gain, first.cure)


NO_CALLS: Final = "ORC421"
NO_CALLS_CURE: Final = "serve its model by a server that calls functions, give it another model, or take its tools away"


def _calls(spec: AgentSpec) -> bool:
    return bool(spec["tools"] or spec["knowledge"])


def _can_call(endpoint: BoundEndpoint) -> bool:
    told = endpoint.capabilities
    return can_call(told.get(Capability.TOOLS), told.get(Capability.TOOL_TEXT))


def _no_calls(served: Sequence[Bound]) -> str:
    servers = ", ".join(dict.fromkeys(str(endpoint) for each in served for endpoint in each.endpoints))
    return f"[{NO_CALLS}] it has tools, and {servers} calls no functions"


def _by_model(spec: AgentSpec, serving: Bound) -> str:
    first = any(rule["first"] for rule in spec["reflex"])
    before = "reflex rules first, then " if first else ""
    return f"{before}{serving.alias} ({serving.endpoints[0]})"


def without_model(spec: AgentSpec) -> str:
    """What answers for an agent while none of its models does."""
    if spec["reflex"]:
        return f"its {_count(len(spec['reflex']), 'reflex rule')}"
    if spec["human"]:
        return "a person"
    return "nothing"


def _gain(spec: AgentSpec) -> str:
    return "it would also answer in free words" if spec["reflex"] else "it would answer"


def _sized(alias: str, blueprint: Blueprint) -> str:
    memory = blueprint.elements[Address.of("model", alias)].spec["memory"]
    return f"{alias} ({format_size(memory)})" if memory else alias


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"
