"""What would only be seen at run time, and can be told before: names that templates do not know, functions that are no tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import ManifestError
from tests.manifest.golden import resolved

HEAD = "deployment:\n  type: single-device\n"


def told(text: str, folder: Path) -> list[tuple[str, str, str, int]]:
    """Severity, code, message and line of what is told about names and functions."""
    (folder / "shop.yaml").write_text(text)
    found = resolved(str(folder / "shop.yaml")).diagnostics
    assert all(one.cure for one in found)
    return [
        (one.severity.value, one.code, one.message, one.place.line)
        for one in found
        if one.place and one.code in ("ORC254", "ORC255", "ORC256", "ORC257")
    ]


def rule(text: str) -> str:
    return HEAD + f"  agents:\n    - name: a\n      tools: [clock]\n      reflex:\n        - {text}\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{say: '{{ undefined_thing.foo }}'}", "undefined_thing"),
        ("{say: '{{ result }}'}", "result"),
        ("{say: '{{ reslut.time }}', call: clock.now}", "reslut"),
        ("{say: 'x', call: clock.parse, arguments: {text: '{{ moment }}'}}", "moment"),
        ("{say: 'x', call: clock.parse, extract: {day: x}, arguments: {text: '{{ result }}'}}", "result"),
    ],
)
def test_a_name_that_nothing_gives_a_value_is_told(text: str, name: str, tmp_path: Path) -> None:
    """At its template."""
    message = f'the template uses "{name}", and nothing gives it a value'
    assert told(rule(text), tmp_path) == [("warning", "ORC254", message, 7)]


@pytest.mark.parametrize(
    "text",
    [
        "{say: '{{ result.time }} {{ text }} {{ session }}', call: clock.now}",
        "{say: '{% for x in result %}{{ loop.index }} {{ x }}{% endfor %}', call: clock.now}",
        "{say: '{% set a = text %}{{ a }} {{ range(3) | join }}'}",
        "{say: '{{ day }}', extract: {day: x}}",
        "{say: '{{ \"{{ nothing }}\" }}'}",
    ],
)
def test_names_that_are_known_are_not_told(text: str, tmp_path: Path) -> None:
    """Those of the request, of the result, of what was extracted, and of the template itself."""
    assert told(rule(text), tmp_path) == []


def test_other_templates_know_other_names(tmp_path: Path) -> None:
    """Instructions and what a person's queue says."""
    text = HEAD + (
        "  agents:\n    - {name: a, instructions: 'You are {{ agent }}, asked {{ text }} by {{ user }}.'}\n"
        "    - {name: b, role: escalation, human: {say: '{{ ticket.id }} {{ queue }} {{ result }}'}}\n"
    )
    assert told(text, tmp_path) == [
        ("warning", "ORC254", 'the template uses "user", and nothing gives it a value', 4),
        ("warning", "ORC254", 'the template uses "result", and nothing gives it a value', 5),
    ]


SOURCE = """\
import functools

def fine(a: int, *, b: str = "x") -> str: ...
async def bare(a): ...
def only_by_place(a: int, /): ...
def many(*a: int, **b: int): ...
@functools.cache
def decorated(a): ...
"""


def test_a_function_that_no_schema_can_be_made_of_is_told(tmp_path: Path) -> None:
    """Without running its module; what a decorator may change is left to the load."""
    (tmp_path / "tools.py").write_text(SOURCE)
    functions = "bare, only_by_place, many, decorated"
    text = HEAD + f"  tools:\n    - name: t\n      python: 'tools:fine'\n      functions: [{functions}]\n"
    assert told(text, tmp_path) == [
        ("warning", "ORC255", "the function bare cannot be a tool: the parameter a has no type hint", 6),
        (
            "warning",
            "ORC255",
            "the function only_by_place cannot be a tool: the parameter a cannot be given by name",
            6,
        ),
        ("warning", "ORC255", "the function many cannot be a tool: the parameter a cannot be given by name", 6),
        ("warning", "ORC255", "the function many cannot be a tool: the parameter b cannot be given by name", 6),
    ]


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        (r"{when: {regex: '[a-z ]+ in [a-z ]+ for [a-z ]+'}, say: x}", 271),
        (r"{extract: {what: '(have|sell) ([a-z0-9 ]+?)(?:e?s)?(?: in stock| cost)?\s*\??$'}, say: '{{ what }}'}", 107),
        (r"{when: {regex: '\b(open|hours)\b'}, say: x}", None),
        (r"{extract: {what: 'have ([a-z ]+)'}, say: '{{ what }}'}", None),
        (r"{when: {regex: 'order [a-z ]+ for [a-z ]+'}, say: x}", None),
        (r"{when: {asks: 'order .+ to .+$'}, say: x}", None),
    ],
    ids=["regex", "extract", "plain", "one repeat", "repeat at the end", "asks"],
)
def test_a_pattern_that_looks_at_the_beginning_only_is_told(text: str, longest: int | None, tmp_path: Path) -> None:
    """With how far it looks; one that looks further than a usual request is long is not."""
    message = f"the pattern looks at the first {longest} characters of a text only"
    assert told(rule(text), tmp_path) == ([("note", "ORC256", message, 7)] if longest else [])


def test_a_keyword_that_changes_nothing_is_told(tmp_path: Path) -> None:
    """In a list of an agent, of a route and of a condition: what is found with another, and what nothing is left of."""
    text = HEAD + (
        "  agents:\n    - name: front\n      role: router\n      routes:\n"
        "        - {to: a, keywords: [e-mail, post, E mail], when: {keywords: [C++, c, 'c++ ']}}\n"
        "    - name: a\n      keywords: [café, Cafe]\n      reflex: [{when: {keywords: ['\u0301', ok]}, say: x}]\n"
    )
    assert told(text, tmp_path) == [
        ("warning", "ORC257", 'the keyword "E mail" is found wherever "e-mail" is', 7),
        ("warning", "ORC257", 'the keyword "c++ " is found wherever "C++" is', 7),
        ("warning", "ORC257", 'the keyword "Cafe" is found wherever "café" is', 9),
        ("warning", "ORC257", "no text holds the keyword '\u0301': it is nothing but spaces or accents", 10),
    ]


def test_a_condition_of_reflex_rules_on_a_route_is_told(tmp_path: Path) -> None:
    """It would be refused only where the router is made."""
    text = HEAD + (
        "  agents:\n    - name: front\n      role: router\n      routes:\n"
        "        - to: a\n          when:\n            intent: x\n            examples: [a, b, c]\n"
        "    - {name: a, reflex: [{when: {intent: y, examples: [d]}, say: x}]}\n"
    )
    end = "is one of reflex rules, and no router looks at it"
    with pytest.raises(ManifestError) as caught:
        told(text, tmp_path)
    assert [(one.code, one.message, one.place.line) for one in caught.value.diagnostics if one.place] == [
        ("ORC258", f"the condition intent {end}", 9),
        ("ORC258", f"the condition examples {end}", 10),
    ]
