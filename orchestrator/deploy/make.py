"""Make the live parts of a deployment from their specs. Each part is made once and shared while its digest stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, Literal, cast, get_args

from orchestrator.core.address import Address
from orchestrator.core.blueprint import AgentSpec, ModelSpec, RouterSpec, ToolSpec
from orchestrator.core.digest import digest_of
from orchestrator.core.errors import DeployError
from orchestrator.core.message import FunctionSchema, Message
from orchestrator.core.schema_refs import misreferred
from orchestrator.core.template import is_plain
from orchestrator.deploy.candidates import candidates_of
from orchestrator.deploy.deployment import Agent, Binding, CallSettings, ModelChoice, Router
from orchestrator.deploy.guards import guards_of
from orchestrator.deploy.knowledge import is_unnamed, search_of
from orchestrator.deploy.reflex import FitIntents, compile_reflexes
from orchestrator.deploy.template import compile_template
from orchestrator.ports.encoder import DistantEncoder, Encoder, OpenEncoder
from orchestrator.ports.strategy import FitStrategy, InstantStrategy, Strategy, StrategyOptions
from orchestrator.ports.tool import Tool, ToolFunction

HAND_OVER: Final = FunctionSchema(
    "escalate",
    "Hand the conversation over to someone more able. Use it when the user asks for a person or you cannot help.",
    {
        "type": "object",
        "properties": {"reason": {"type": "string"}},
        "required": ["reason"],
        "additionalProperties": False,
    },
)
"""Offered to a model beside its functions where its agent escalates on request."""
DEFAULT_HANDOVER: Final = "I have passed this on to a colleague ({{ ticket }}). They will get back to you."


_Answering = Literal[
    "models", "instructions", "tools", "knowledge", "output_schema", "max_tokens", "temperature", "history_turns"
]


def make_agent(
    spec: AgentSpec,
    bindings: Mapping[str, Binding],
    models: Mapping[str, ModelSpec],
    tools: Mapping[str, tuple[ToolSpec, Tool]],
    fit_intents: FitIntents,
) -> Agent:
    """A ready agent. ``tools`` holds what the agent uses, live, by address; a knowledge set is a tool too."""
    functions = _functions(spec, tools)
    endpoints = endpoints_of(spec["models"], bindings, models)
    offered = _offered(spec, [function for _, function in functions])
    prompt = compile_template(spec["instructions"])
    static = is_plain(spec["instructions"])
    return Agent(
        spec=spec,
        address=Address.of("agent", spec["name"]),
        endpoints=endpoints,
        functions={function.schema.name: function for _, function in functions},
        schemas=offered,
        prompt=prompt,
        fixed_prompt=Message("system", prompt({})) if static and spec["instructions"] else None,
        reflexes=compile_reflexes(spec["reflex"], fit_intents),
        call=settings_of(spec, spec["models"][0] if spec["models"] else "", models),
        calls=_calls(spec, bindings, models),
        tool_timeouts={function.name: tool["timeout"] for tool, function in functions},
        invalid=schema_check(spec["output_schema"]) if spec["output_schema"] else None,
        human_say=compile_template(spec["human"].get("say") or DEFAULT_HANDOVER) if spec["human"] else None,
        missing="" if endpoints else _why_missing(spec["models"], bindings),
        choices=choices_of(spec, bindings, models),
        offered=len(json.dumps([schema.as_json() for schema in offered], ensure_ascii=False)) if offered else 0,
        guarded=frozenset(function.name for tool, function in functions if _is_guarded(tool, function)),
        version=digest_of({key: spec[key] for key in _ANSWERS_COME_FROM}),
    )


_ANSWERS_COME_FROM: Final[tuple[_Answering, ...]] = get_args(_Answering)


def _is_guarded(tool: ToolSpec, function: ToolFunction) -> bool:
    """Whether a person must allow each of its calls."""
    approval = tool.get("approval", "never")
    return approval == "always" or (approval == "writes" and function.effect != "read")


def _functions(spec: AgentSpec, tools: Mapping[str, tuple[ToolSpec, Tool]]) -> list[tuple[ToolSpec, ToolFunction]]:
    own = [tools[Address.of("tool", name)] for name in spec["tools"]]
    sets = [tools[Address.of("knowledge", name)] for name in spec["knowledge"]]
    if sets:
        own = [(tool_spec, tool) for tool_spec, tool in own if not is_unnamed(tool_spec)]
    found = [each for tool_spec, tool in own for each in _functions_of(tool_spec, tool)]
    return [*found, search_of(sets)] if sets else found


def no_encoder(name: str) -> Encoder | DistantEncoder:
    """Where none can be opened. Raises ``DeployError``."""
    raise DeployError(f"the encoder {name} cannot be opened here")


def make_router(
    spec: RouterSpec,
    targets: Mapping[str, AgentSpec | RouterSpec],
    fit: FitStrategy,
    endpoints: tuple[str, ...],
    open_encoder: OpenEncoder = no_encoder,
) -> Router:
    """A router whose strategy has learned from the agents and routers (``targets``, by name) that it may choose."""
    strategy = fit(candidates_of(spec, targets), options_of(spec, open_encoder))
    address = Address.of("router", spec["name"])
    return Router(spec, address, strategy, instant_of(strategy), endpoints, guards=guards_of(spec))


def version_of(spec: RouterSpec, targets: Mapping[str, AgentSpec | RouterSpec], models: Mapping[str, ModelSpec]) -> str:
    """A digest of what a router's confidence comes from: whom it may choose (of ``targets``, by name) with all that is learned of
    them, its stages, and the models (of those of the manifest, by alias) and the encoder that it asks. From which confidence on it
    decides is no part of it."""
    aliases = _with_fallbacks([*spec["models"], spec["encoder"]], models)
    asked = [[alias, models[alias]["ids"], models[alias]["quantization"]] for alias in aliases if alias in models]
    plain = [asdict(candidate) for candidate in candidates_of(spec, targets)]
    return digest_of([plain, spec["strategy"], spec["stages"], spec["encoder"], asked])


def options_of(spec: RouterSpec, open_encoder: OpenEncoder) -> StrategyOptions:
    """What its strategy is fitted with. Raises ``DeployError`` where its encoder cannot be opened."""
    encoder = open_encoder(spec["encoder"]) if spec["encoder"] else None
    return StrategyOptions(
        spec["default"], spec["confidence"], tuple(spec["stages"]), spec.get("model_confidence", {}), encoder
    )


def instant_of(strategy: Strategy) -> InstantStrategy | None:
    """The same strategy as one that never waits, where it is one."""
    return cast(InstantStrategy, strategy) if hasattr(strategy, "decide_now") else None


def endpoints_of(
    aliases: Sequence[str], bindings: Mapping[str, Binding], models: Mapping[str, ModelSpec]
) -> tuple[str, ...]:
    """Endpoint ids of these aliases in order, then of their fallbacks, each once."""
    ordered = _with_fallbacks(aliases, models)
    found = [endpoint for alias in ordered if alias in bindings for endpoint in bindings[alias].endpoints]
    return tuple(dict.fromkeys(found))


def choices_of(
    spec: AgentSpec, bindings: Mapping[str, Binding], models: Mapping[str, ModelSpec]
) -> tuple[ModelChoice, ...]:
    """The agent's models in order, then their fallbacks, with what a choice among them looks at."""
    named = "the agent names it" + (" first" if len(spec["models"]) > 1 else "")
    why = spec.get("model_why", "") or (named if len(models) > 1 else "")
    given = {alias: f"{alias}: {why}" for alias in spec["models"][:1] if why}
    return tuple(
        _choice(bindings[alias], models.get(alias), given.get(alias, ""))
        for alias in _with_fallbacks(spec["models"], models)
        if alias in bindings
    )


def _choice(binding: Binding, model: ModelSpec | None, given: str) -> ModelChoice:
    return ModelChoice(
        alias=binding.alias,
        endpoints=binding.endpoints,
        memory=binding.memory,
        equals=binding.equals,
        complexity=frozenset(model["complexity"] if model else ()),
        priorities=frozenset(model["priorities"] if model else ()),
        secondary=bool(model and model["secondary"]),
        given=given,
    )


def _with_fallbacks(aliases: Sequence[str], models: Mapping[str, ModelSpec]) -> list[str]:
    further = [other for alias in aliases if alias in models for other in models[alias]["fallback"]]
    return list(dict.fromkeys([*aliases, *further]))


def schema_check(schema: Mapping[str, Any]) -> Callable[[Any], str]:
    """What is wrong with a value, in words that a model can repair from; an empty text where it fits. Nothing that the schema
    refers to is fetched. With a schema that no check can follow, nothing fits: a revision that was applied before such manifests
    were refused may have one."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    astray = misreferred(schema)
    validator = Draft202012Validator(dict(schema), registry=Registry())

    def check(value: Any) -> str:
        if astray:
            return f"no value can be checked against it: {astray}"
        try:
            faults = sorted(validator.iter_errors(value), key=lambda fault: fault.json_path)
        except BaseException as error:
            if not _is_out_of_stack(error):
                raise
            return "the value is nested too deep for it to be checked"
        return "; ".join(f"{fault.json_path}: {fault.message}" for fault in faults[:5])

    return check


def _is_out_of_stack(error: BaseException) -> bool:
    """Where a compiled part of the library runs out of it, that says so by an exception of its own, which has no public name."""
    return isinstance(error, RecursionError) or type(error).__name__ == "PanicException"


def _functions_of(spec: ToolSpec, tool: Tool) -> list[tuple[ToolSpec, ToolFunction]]:
    allowed = set(spec["allowed"])
    return [
        (spec, function)
        for function in tool.functions
        if not allowed or function.name in allowed or function.name.partition(".")[2] in allowed
    ]


def _offered(spec: AgentSpec, functions: Sequence[ToolFunction]) -> tuple[FunctionSchema, ...]:
    """A model without any function gets no tools at all, which many small ones take badly: it cannot ask for a hand-over."""
    schemas = tuple(function.schema for function in functions)
    may_hand_over = schemas and spec["escalate_to"] and "requested" in spec["escalate_when"]
    return (*schemas, HAND_OVER) if may_hand_over else schemas


def settings_of(spec: AgentSpec, alias: str, models: Mapping[str, ModelSpec]) -> CallSettings:
    """How this agent asks this model: with the model's options, and the agent's own before them."""
    options = {k: v for k, v in models[alias]["options"].items() if v is not None} if alias in models else {}
    own = {"temperature": spec["temperature"], "max_tokens": spec["max_tokens"]}
    return CallSettings.of(options | {key: value for key, value in own.items() if value is not None})


def _calls(
    spec: AgentSpec, bindings: Mapping[str, Binding], models: Mapping[str, ModelSpec]
) -> Mapping[str, CallSettings]:
    """By endpoint, where its model is asked in another way than the agent's first. Of two aliases of one endpoint, the one
    that the agent names first counts."""
    ordered = [alias for alias in _with_fallbacks(spec["models"], models) if alias in bindings]
    found: dict[str, CallSettings] = {}
    for alias in ordered:
        for endpoint in bindings[alias].endpoints:
            found.setdefault(endpoint, settings_of(spec, alias, models))
    first = settings_of(spec, spec["models"][0], models) if spec["models"] else None
    return {endpoint: settings for endpoint, settings in found.items() if settings != first}


def _why_missing(aliases: Sequence[str], bindings: Mapping[str, Binding]) -> str:
    if not aliases:
        return ""
    return "; ".join(bindings[alias].missing or f"{alias} is not bound" for alias in aliases if alias in bindings)
