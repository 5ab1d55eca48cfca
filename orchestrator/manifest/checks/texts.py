"""Texts that are programs: templates, patterns, JSON Schemas. Those of the catalogue have their own tests."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from orchestrator.core.pattern import UnsafePattern, compile_safely
from orchestrator.core.schema_refs import misreferred
from orchestrator.core.template import TemplateFault, is_plain, read_template
from orchestrator.manifest.checks.template_names import check_names
from orchestrator.manifest.faults import note
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.reflexes import ESCALATE
from orchestrator.manifest.spec.agent import AgentEntry, ReflexRule, StoreAndForward, When

Keys = tuple[str | int, ...]

SHORT_SIGHT: Final = 500
"""Characters: a pattern that looks at fewer is told of, since a request may well be longer."""
_SHORT_SIGHTED: Final = ("on a longer one it could take long", "Write it with fewer repeats, if longer texts matter.")


def check_texts(draft: Draft) -> None:
    """Templates compile and stay in the sandbox, patterns compile and end, schemas are schemas."""
    for agent in draft.agents.values():
        at = draft.address(agent)
        for keys, text in _templates(agent):
            if (
                not is_plain(text)
                and not _is_of_template(draft, agent, keys)
                and check_template(draft, text, (at, keys))
            ):
                check_names(draft, agent, keys, text)
        for keys, pattern in _patterns(agent):
            if not _is_of_template(draft, agent, keys):
                _check_pattern(draft, pattern, (at, keys))
        if agent.output_schema is not None:
            _check_schema(draft, agent.output_schema, at)
        for number, rule in enumerate(agent.reflex):
            _check_rule(draft, agent, number, rule)
        for number, route in enumerate(agent.routes):
            if not isinstance(route, str):
                _check_route(draft, (at, ("routes", number, "when")), route.when)


def _is_of_template(draft: Draft, agent: AgentEntry, keys: Keys) -> bool:
    """Whether a text comes from the catalogue and not from the manifest; an agent's own rules come first."""
    template = draft.templates.get(agent.name)
    if template is None:
        return False
    if keys[0] == "reflex":
        return not draft.holds(draft.address(agent), *keys[:2])
    return bool(agent.instructions == template.instructions)


def _templates(agent: AgentEntry) -> Iterator[tuple[Keys, str]]:
    if agent.instructions:
        yield ("instructions",), agent.instructions
    if agent.human is not None and agent.human.say:
        yield ("human", "say"), agent.human.say
    if isinstance(agent.store_and_forward, StoreAndForward) and agent.store_and_forward.say:
        yield ("store_and_forward", "say"), agent.store_and_forward.say
    for number, rule in enumerate(agent.reflex):
        yield ("reflex", number, "say"), rule.say
        yield from _texts_in(rule.arguments, ("reflex", number, "arguments"))


def _texts_in(value: Any, keys: Keys) -> Iterator[tuple[Keys, str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts_in(inner, (*keys, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts_in(inner, (*keys, number))


def check_template(draft: Draft, text: str, at: tuple[str, Keys]) -> bool:
    """Whether a template can be used; where not, it is told."""
    found = _fault_of_template(text)
    if found is not None:
        code = "ORC244" if found.kind == "forbidden" else "ORC243"
        reason, _, more = str(found).rstrip(".").partition("; ")
        where = f" (line {found.line} of the text)" if "\n" in text else ""
        draft.tell(code, f"the template cannot be used: {reason}{where}", at, cure=more or None)
    return found is None


@lru_cache(maxsize=4096)
def _fault_of_template(text: str) -> TemplateFault | None:
    try:
        read_template(text)
    except TemplateFault as error:
        return error
    return None


def _patterns(agent: AgentEntry) -> Iterator[tuple[Keys, str]]:
    for number, rule in enumerate(agent.reflex):
        for key, pattern in _conditions(rule.when):
            yield ("reflex", number, "when", key), pattern
        for name, pattern in rule.extract.items():
            yield ("reflex", number, "extract", name), pattern
    for number, route in enumerate(agent.routes):
        when: When | None = None if isinstance(route, str) else route.when
        for key, pattern in _conditions(when):
            yield ("routes", number, "when", key), pattern


def _conditions(when: When | None) -> Iterator[tuple[str, str]]:
    for key in ("regex", "asks"):
        pattern = getattr(when, key, None)
        if pattern is not None:
            yield key, pattern


def _check_pattern(draft: Draft, pattern: str, at: tuple[str, Keys]) -> None:
    reason, longest = _read_pattern(pattern, "extract" in at[1], "asks" in at[1])
    if reason is None:
        if longest < SHORT_SIGHT:
            message = f"the pattern looks at the first {longest} characters of a text only"
            draft.add(note("ORC256", message, draft.place(at[0], *at[1]), *_SHORT_SIGHTED), at[0])
    elif _is_invalid(pattern):
        draft.tell("ORC245", f"the pattern does not compile: {reason}", at)
    else:
        why, _, cure = reason.partition("; ")
        draft.tell("ORC246", f"the pattern {why}", at, cure=cure or None)


@lru_cache(maxsize=4096)
def _read_pattern(pattern: str, taken: bool, at_once: bool) -> tuple[str | None, int]:
    """Why the runtime would not use a pattern, and how many characters it would look at. ``taken``: what it matches matters, and
    not only whether it does; ``at_once``: a text must begin with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a future Python may read differently is no fault
        try:
            found = compile_safely(pattern, whole=taken or at_once)
            return None, found.reach if at_once else found.longest
        except UnsafePattern as error:
            return str(error).removeprefix(f"{pattern!r} ").removeprefix("is no valid pattern: "), 0


def _is_invalid(pattern: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return True
    return False


def _check_schema(draft: Draft, schema: dict[str, Any], at: str) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(step) for step in error.absolute_path)
        message = f"output_schema is no valid JSON Schema: {where or 'it'}: {error.message[:120]}"
        draft.tell("ORC247", message, (at, ("output_schema", *error.absolute_path)))
        return
    fault = misreferred(schema)
    if fault:
        draft.tell("ORC247", f"output_schema is no valid JSON Schema: {fault}", (at, ("output_schema",)))


def _check_rule(draft: Draft, agent: AgentEntry, number: int, rule: ReflexRule) -> None:
    at = draft.address(agent)
    if not draft.holds(at, "reflex", number):
        return
    if rule.when.intent is not None and not rule.when.examples:
        message = f'the intent "{rule.when.intent}" has no examples'
        draft.tell("ORC208", message, (at, ("reflex", number, "when", "intent")))
    if rule.call is not None:
        _check_call(draft, agent, rule.call, (at, ("reflex", number, "call")))


def _check_route(draft: Draft, at: tuple[str, Keys], when: When) -> None:
    for key in ("intent", "examples"):
        if getattr(when, key) is not None:
            message = f"the condition {key} is one of reflex rules, and no router looks at it"
            draft.tell("ORC258", message, (at[0], (*at[1], key)))


def _check_call(draft: Draft, agent: AgentEntry, call: str, at: tuple[str, Keys]) -> None:
    if call == ESCALATE:
        if agent.escalate_to is None:
            draft.tell("ORC206", f"{agent.name} has nobody to escalate to", at, cure="add escalate_to: …")
        return
    tool, _, function = call.partition(".")
    if tool not in agent.tools:
        draft.tell("ORC206", f'{agent.name} has no tool "{tool}"', at)
        return
    entry = draft.tools.get(tool)
    known = [entry.python.partition(":")[2], *entry.functions] if entry is not None and entry.python else [function]
    if function not in known:
        draft.tell(
            "ORC206", f'the tool "{tool}" has no function "{function}"', at, cure=f"there are {', '.join(known)}"
        )
