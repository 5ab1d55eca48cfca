"""Who answers for each agent, and how each router chooses, with what is there now; and what each would gain from what is
missing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Final, cast

from orchestrator.core.address import Address
from orchestrator.core.blueprint import AgentSpec, Blueprint, ModelSpec, RouterSpec
from orchestrator.core.quantity import format_size
from orchestrator.plan.binding import Bound, BoundEndpoint
from orchestrator.plan.observed import ObservedState
from orchestrator.plan.plan import AgentServing
from orchestrator.plan.wanted import with_fallbacks
from orchestrator.ports.installed import is_plugin
from orchestrator.ports.provider import Capability, Support, can_call

ELSEWHERE: Final = "held by another node"
NOTHING: Final = "nothing"
"""What answers for an agent for which nothing does."""


def who_serves(blueprint: Blueprint, bound: Mapping[str, Bound]) -> tuple[AgentServing, ...]:
    """One line for each router, which come first, and for each agent, in the manifest's order."""
    routers = [cast(RouterSpec, element.spec) for element in blueprint.of_kind("router")]
    agents = [cast(AgentSpec, element.spec) for element in blueprint.of_kind("agent")]
    choosing = [_choosing(spec, blueprint, bound) for spec in routers]
    return (*choosing, *(_serving(spec, blueprint, bound) for spec in agents))


def answered(serving: Iterable[AgentServing]) -> tuple[str, ...]:
    """The addresses of agents, and of routers, that something answers for on this device."""
    return tuple(each.agent for each in serving if each.by not in (NOTHING, ELSEWHERE))


def silenced(serving: Iterable[AgentServing], before: Collection[str]) -> list[AgentServing]:
    """Those that would have nothing to answer with, of those that were answered ``before``."""
    return [each for each in serving if each.by == NOTHING and each.agent in before]


def _choosing(spec: RouterSpec, blueprint: Blueprint, bound: Mapping[str, Bound]) -> AgentServing:
    """A router that asks no model is never less than it is wanted."""
    address = Address.of("router", spec["name"])
    aliases = (
        [alias for alias in with_fallbacks(spec["models"], blueprint) if alias in bound] if asks_models(spec) else []
    )
    served = next((bound[alias] for alias in aliases if bound[alias].endpoints or bound[alias].starting), None)
    deaf = _unserved_encoder(spec, bound)
    lack = (f"{deaf.alias} is not served, and with it {SEMANTIC} would choose", deaf.cure) if deaf else ("", "")
    listed = _listed(spec, deaf=deaf is not None)
    if served:
        return AgentServing(address, f"chooses by {', then '.join([*listed, _at(served)])}", *lack)
    without = chosen_without_model(spec, deaf=deaf is not None)
    if not aliases:
        return AgentServing(address, without, *lack)
    first = bound[aliases[0]]
    more = "a model would also be asked what these leave open" if listed else "a model would choose"
    gain = f"with {_sized(aliases[0], blueprint)} {more}"
    return AgentServing(address, without, f"{first.missing}; {gain}" if first.locked else gain, first.cure)


def asks_models(spec: RouterSpec) -> bool:
    """Whether a router may ask a model: one that is written for it and that its strategy never asks counts for nothing."""
    strategy = spec["strategy"]
    return INTENT in (spec["stages"] if strategy == "cascade" else [strategy]) or is_plugin(strategy)


def _unserved_encoder(spec: RouterSpec, bound: Mapping[str, Bound]) -> Bound | None:
    """The model that gives a router its vectors, where no server gives any, nor will: what goes by them has learned nothing."""
    encoder = bound.get(spec["encoder"])
    return encoder if encoder is not None and not (encoder.endpoints or encoder.starting) else None


def chosen_without_model(spec: RouterSpec, *, deaf: bool = False) -> str:
    """How a router chooses while none of its models answers; ``deaf``: nor has it any vectors."""
    told, otherwise = _listed(spec, deaf=deaf), spec["default"] or spec["escalate_to"]
    if told:
        return f"chooses by {told[0]}"
    return f"leaves all to {otherwise}" if otherwise else "asks back who is meant"


def _listed(spec: RouterSpec, *, deaf: bool) -> list[str]:
    """What it chooses by without a model, as one text in a list; an empty list where that is nothing."""
    stages = spec["stages"] if spec["strategy"] == "cascade" else [spec["strategy"]]
    told = ", ".join(stage for stage in stages if stage != INTENT and not (deaf and stage == SEMANTIC))
    return [told] if told else []


def _serving(spec: AgentSpec, blueprint: Blueprint, bound: Mapping[str, Bound]) -> AgentServing:
    address = Address.of("agent", spec["name"])
    if spec.get("elsewhere"):
        return AgentServing(address, ELSEWHERE)
    aliases = [alias for alias in with_fallbacks(spec["models"], blueprint) if alias in bound]
    served = [bound[alias] for alias in aliases if bound[alias].endpoints or bound[alias].starting]
    able = served if not _calls(spec) else [each for each in served if _may_call(each)]
    if able:
        silent = _no_log_probabilities(spec, able[0])
        by = f"{_by_model(spec, able[0])}{_on_battery(able, blueprint)}"
        return AgentServing(address, by, silent, SILENT_CURE if silent else "")
    without = without_model(spec)
    if served:
        return AgentServing(address, without, _no_calls(served), NO_CALLS_CURE)
    if not aliases:
        return AgentServing(address, without)
    first = bound[aliases[0]]
    gain = f"with {_sized(aliases[0], blueprint)} {_gain(spec)}"
    return AgentServing(address, without, f"{first.missing}; {gain}" if first.locked else gain, first.cure)


INTENT: Final = "intent"
"""The strategy that asks a model."""
SEMANTIC: Final = "semantic"
"""The strategy that goes by the vectors of an encoder."""
NO_CALLS: Final = "ORC421"
NO_CALLS_CURE: Final = "serve its model by a server that calls functions, give it another model, or take its tools away"


SILENT: Final = "ORC430"
SILENT_CURE: Final = (
    "serve its model by a server that tells them, or let it be judged in another way: agreement, self_check"
)


def _no_log_probabilities(spec: AgentSpec, serving: Bound) -> str:
    """Where its manifest goes by how sure the model is of its words, and the server does not tell."""
    told = [endpoint.capabilities.get(Capability.LOGPROBS) for endpoint in serving.endpoints[:1]]
    if "low_confidence" not in spec.get("gate", {}) or not {Support.NO, Support.IGNORED}.intersection(told):
        return ""
    return f"[{SILENT}] low_confidence cannot be seen: {serving.endpoints[0]} tells no log-probabilities"


def _calls(spec: AgentSpec) -> bool:
    return bool(spec["tools"] or spec["knowledge"])


_BY_FLAGS: Final[Mapping[str, str]] = {"vllm": "--enable-auto-tool-choice --tool-call-parser NAME"}
"""Makes that call functions only where they were started so, and do not tell whether they were."""


def unsure_notes(blueprint: Blueprint, bound: Mapping[str, Bound], observed: ObservedState) -> Iterator[str]:
    """Where an agent has tools and nobody knows whether its server calls functions: until somebody asks it, each run finds out
    anew."""
    probed = {(server.api_base, model) for server in observed.servers for model in server.probed}
    ours = {element.spec["alias"] for element in blueprint.of_kind("model") if element.spec["server"]}
    unsure: dict[str, list[str]] = {}
    for element in blueprint.of_kind("agent"):
        spec = cast(AgentSpec, element.spec)
        for alias in spec["models"] if _calls(spec) else ():
            for each in bound[alias].endpoints if alias in bound and alias not in ours else ():
                if each.provider in _BY_FLAGS and (each.api_base, each.model) not in probed:
                    unsure.setdefault(f"{each}\0{_BY_FLAGS[each.provider]}", []).append(spec["name"])
    for key, agents in unsure.items():
        server, _, flags = key.partition("\0")
        yield (
            f"not known whether {server} calls functions, which {', '.join(dict.fromkeys(agents))} needs for its tools: it does "
            f"where it was started with {flags}; `orchestrator doctor --probe` finds out"
        )


def _may_call(serving: Bound) -> bool:
    """Whether functions are called there; of a server that is only being started nothing is known yet."""
    return bool(serving.starting) or any(map(_can_call, serving.endpoints))


def _can_call(endpoint: BoundEndpoint) -> bool:
    told = endpoint.capabilities
    return can_call(told.get(Capability.TOOLS), told.get(Capability.TOOL_TEXT))


def _no_calls(served: Sequence[Bound]) -> str:
    servers = ", ".join(dict.fromkeys(str(endpoint) for each in served for endpoint in each.endpoints))
    return f"[{NO_CALLS}] it has tools, and {servers} calls no functions"


def _by_model(spec: AgentSpec, serving: Bound) -> str:
    first = any(rule["first"] for rule in spec["reflex"])
    before = "reflex rules first, then " if first else ""
    return f"{before}{_at(serving)}"


def _on_battery(able: Sequence[Bound], blueprint: Blueprint) -> str:
    """Which of them is asked instead while the device runs on its battery, where that is another one: a secondary one, then the
    smallest."""

    def spares(one: Bound) -> tuple[bool, float]:
        spec = cast(ModelSpec, blueprint.elements[Address.of("model", one.alias)].spec)
        memory = one.endpoints[0].memory if one.endpoints else None
        return not spec["secondary"], inf if memory is None else memory

    first = min(able, key=spares)
    spared = blueprint.resources.get("power_management") and first is not able[0]
    return f", on battery {_at(first)}" if spared else ""


def _at(serving: Bound) -> str:
    server = str(serving.endpoints[0]) if serving.endpoints else f"{serving.starting}, once it is started"
    return f"{serving.alias} ({server})"


def without_model(spec: AgentSpec) -> str:
    """What answers for an agent while none of its models does."""
    if spec["reflex"]:
        return f"its {_count(len(spec['reflex']), 'reflex rule')}"
    if spec["human"]:
        return "a person"
    return NOTHING


def _gain(spec: AgentSpec) -> str:
    return "it would also answer in free words" if spec["reflex"] else "it would answer"


def _sized(alias: str, blueprint: Blueprint) -> str:
    spec = blueprint.elements[Address.of("model", alias)].spec
    memory = None if spec["server"] else spec["memory"]  # what a server that we start takes is told with that
    return f"{alias} ({format_size(memory)})" if memory else alias


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' if number != 1 else ''}"
