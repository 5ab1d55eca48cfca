"""Texts that are programs: templates, patterns, JSON Schemas. Those of the catalogue have their own tests."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from orchestrator.manifest.ambiguity import worst_case
from orchestrator.manifest.inference.draft import Draft
from orchestrator.manifest.inference.reflexes import ESCALATE
from orchestrator.manifest.spec.agent import AgentEntry, ReflexRule, When

Keys = tuple[str | int, ...]

_BRACES: Final = ("{{", "{%", "{#")
_TIMES: Final = {
    "exponential": "some texts make it take exponential time",
    "cubic": "its time grows with the cube of the text's length",
    "complex": "it is too complex to tell how long it takes",
}


def check_texts(draft: Draft) -> None:
    """Templates compile and stay in the sandbox, patterns compile and end, schemas are schemas."""
    for agent in draft.agents.values():
        at = draft.address(agent)
        for keys, text in _templates(agent):
            if any(brace in text for brace in _BRACES):
                _check_template(draft, text, (at, keys))
        for keys, pattern in _patterns(agent):
            _check_pattern(draft, pattern, (at, keys))
        if agent.output_schema is not None:
            _check_schema(draft, agent.output_schema, at)
        for number, rule in enumerate(agent.reflex):
            _check_rule(draft, agent, number, rule)


def _templates(agent: AgentEntry) -> Iterator[tuple[Keys, str]]:
    if agent.instructions:
        yield ("instructions",), agent.instructions
    if agent.human is not None and agent.human.say:
        yield ("human", "say"), agent.human.say
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


def _check_template(draft: Draft, text: str, at: tuple[str, Keys]) -> None:
    from orchestrator.manifest.checks.sandbox import fault_of_template

    found = fault_of_template(text)
    if found is not None:
        code, reason = found
        draft.tell(code, reason, at)


def _patterns(agent: AgentEntry) -> Iterator[tuple[Keys, str]]:
    for number, rule in enumerate(agent.reflex):
        if rule.when.regex is not None:
            yield ("reflex", number, "when", "regex"), rule.when.regex
        for name, pattern in rule.extract.items():
            yield ("reflex", number, "extract", name), pattern
    for number, route in enumerate(agent.routes):
        when: When | None = None if isinstance(route, str) else route.when
        if when is not None and when.regex is not None:
            yield ("routes", number, "when", "regex"), when.regex


def _check_pattern(draft: Draft, pattern: str, at: tuple[str, Keys]) -> None:
    reason = _why_not_compiled(pattern)
    if reason is not None:
        draft.tell("ORC245", f"the pattern does not compile: {reason}", at)
        return
    slow = worst_case(pattern)
    if slow:
        draft.tell("ORC246", "the pattern may take for ever", at, _TIMES[slow])


@lru_cache(maxsize=4096)
def _why_not_compiled(pattern: str) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a possible nested set in a future Python is no fault
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            return str(error)
        except (RecursionError, OverflowError):
            return "it is too deep or too large"
    return None


def _check_schema(draft: Draft, schema: dict[str, Any], at: str) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(step) for step in error.absolute_path)
        message = f"output_schema is no valid JSON Schema: {where or 'it'}: {error.message[:120]}"
        draft.tell("ORC247", message, (at, ("output_schema", *error.absolute_path)))


def _check_rule(draft: Draft, agent: AgentEntry, number: int, rule: ReflexRule) -> None:
    at = draft.address(agent)
    if not draft.holds(at, "reflex", number):
        return
    if rule.when.intent is not None and not rule.when.examples:
        message = f'the intent "{rule.when.intent}" has no examples'
        draft.tell("ORC208", message, (at, ("reflex", number, "when", "intent")))
    if rule.call is None:
        return
    keys: Keys = ("reflex", number, "call")
    if rule.call == ESCALATE:
        if agent.escalate_to is None:
            draft.tell("ORC206", f"{agent.name} has nobody to escalate to", (at, keys), cure="add escalate_to: …")
        return
    tool, _, function = rule.call.partition(".")
    if tool not in agent.tools:
        draft.tell("ORC206", f'{agent.name} has no tool "{tool}"', (at, keys))
        return
    entry = draft.tools.get(tool)
    if entry is None or not entry.python:
        return
    known = [entry.python.partition(":")[2], *entry.functions]
    if function not in known:
        draft.tell(
            "ORC206",
            f'the tool "{tool}" has no function "{function}"',
            (at, keys),
            cure=f"there are {', '.join(known)}",
        )
