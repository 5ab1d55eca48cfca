"""What a simulated model says: rules tried in order, then a default. Pure.

A rule answers requests whose last user message its regex finds: with text, with a JSON value, or with tool calls. After
the tools have answered, the rule's text closes the turn (``{result}`` stands for what the tool gave); with ``always``
it calls again and again. A ``sequence`` is said once, in order, whatever is asked.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.core.message import ToolCall
from orchestrator.testing.asked import Asked
from orchestrator.testing.fitting import fitting


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``say`` may use the regex's groups (``\\1``) and ``{result}``; ``calls`` are (function, arguments)."""

    match: str = ""
    say: str | None = None
    value: Any = None
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    always: bool = False
    model: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: text, or calls, or both. ``chance`` is how probable each of its tokens is told to be; where it is given, the
    rest of the probability is told as one alternative."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    chance: float | None = None


@dataclass(slots=True)
class Script:
    """Rules, a sequence, and a default (``echo``, or a fixed text). The place in the sequence is its only state."""

    rules: Sequence[Rule] = ()
    sequence: Sequence[str] = ()
    default: str = "echo"
    _said: int = field(default=0, init=False)

    def answer(self, asked: Asked, chance: random.Random) -> Said:
        """The answer to a request."""
        if self._said < len(self.sequence):
            self._said += 1
            return Said(self.sequence[self._said - 1])
        for rule in self.rules:
            found = re.search(rule.match, asked.text)
            if found and re.search(rule.model, asked.model):
                return self._by_rule(rule, found, asked, chance)
        return self._unscripted(asked, chance)

    def _by_rule(self, rule: Rule, found: re.Match[str], asked: Asked, chance: random.Random) -> Said:
        if rule.calls and (rule.always or asked.tool_result is None):
            return Said("", tuple(_call(name, arguments, chance) for name, arguments in rule.calls))
        if rule.say is not None:
            return Said(found.expand(rule.say).replace("{result}", asked.tool_result or ""))
        if rule.value is not None:
            return Said(json.dumps(rule.value, ensure_ascii=False))
        return self._unscripted(asked, chance)

    def _unscripted(self, asked: Asked, chance: random.Random) -> Said:
        if asked.schema is not None:
            return Said(json.dumps(fitting(asked.schema, chance), ensure_ascii=False))
        if asked.tools and asked.tool_choice not in ("", "auto", "none"):
            return Said("", (_chosen_call(asked, chance),))
        if asked.tool_result is not None:
            return Said(f"the tool says: {asked.tool_result}")
        return Said(asked.text if self.default == "echo" else self.default)


def _call(name: str, arguments: Mapping[str, Any], chance: random.Random) -> ToolCall:
    return ToolCall(f"call_{chance.getrandbits(48):012x}", name, json.dumps(arguments, ensure_ascii=False))


def _chosen_call(asked: Asked, chance: random.Random) -> ToolCall:
    """A call of the function that ``tool_choice`` names, or of any, with arguments that fit its schema."""
    named = [tool for tool in asked.tools if tool["function"]["name"] == asked.tool_choice]
    function = (named[0] if named else chance.choice(list(asked.tools)))["function"]
    return _call(function["name"], fitting(function.get("parameters") or {"type": "object"}, chance), chance)


def read_script(path: Path) -> Script:
    """A script from a YAML or JSON file. Raises ``ValueError`` that says what is wrong, and ``OSError``."""
    import yaml

    try:
        value = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is no YAML: {error}") from error
    return script_from(value or {})


def script_from(value: Any) -> Script:
    """A script from its plain form: ``{"rules": [...], "sequence": [...], "default": "echo"}``. Raises ``ValueError``."""
    if not isinstance(value, Mapping):
        raise ValueError("a script is a mapping with rules, sequence and default")
    _only(value, {"rules", "sequence", "default"}, "a script")
    rules = tuple(_rule(entry) for entry in value.get("rules") or ())
    sequence = tuple(str(text) for text in value.get("sequence") or ())
    return Script(rules, sequence, str(value.get("default", "echo")))


def _rule(entry: Any) -> Rule:
    if not isinstance(entry, Mapping):
        raise ValueError(f"a rule is a mapping, not {entry!r}")
    _only(entry, {"match", "say", "value", "calls", "always", "model"}, "a rule")
    try:
        re.compile(str(entry.get("match", "")))
        calls = tuple((str(call["name"]), dict(call.get("arguments") or {})) for call in entry.get("calls") or ())
    except re.error as error:
        raise ValueError(f"{entry['match']!r} is no regex: {error}") from error
    except (KeyError, TypeError) as error:
        raise ValueError(f"a call is a mapping with name and arguments, not {entry['calls']!r}") from error
    say = entry.get("say")
    return Rule(
        match=str(entry.get("match", "")),
        say=None if say is None else str(say),
        value=entry.get("value"),
        calls=calls,
        always=bool(entry.get("always", False)),
        model=str(entry.get("model", "")),
    )


def _only(value: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(value) - known)
    if unknown:
        raise ValueError(f"{what} has no {', '.join(unknown)}; it may have {', '.join(sorted(known))}")
