"""The core of the simulated endpoint: scripts, faults, paces and slots, all from a seed."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator.testing.asked import Asked
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.fault import FAULTS, parse_fault
from orchestrator.testing.fitting import fitting
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import read_script, script_from
from orchestrator.testing.slots import Slots

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def asked(text: str = "hello", *more: dict[str, Any], **fields: Any) -> Asked:
    return Asked("m", [{"role": "user", "content": text}, *more], **fields)


def endpoint(script: Any = None, **fields: Any) -> SimulatedEndpoint:
    return simulated(["m"], script_from(script or {}), **fields)


def said(server: SimulatedEndpoint, request: Asked) -> str:
    turn = server.begin(request, 0.0)
    return turn.text or ", ".join(f"{call.name}({call.arguments})" for call in turn.calls)


def test_it_echoes_where_no_script_speaks() -> None:
    """Without a script the answer is the question."""
    assert said(endpoint(), asked("what you say")) == "what you say"


def test_rules_are_tried_in_order() -> None:
    """The first rule whose regex is in the text answers, with the groups of its regex."""
    script = {
        "rules": [
            {"match": r"order (\w+)", "say": r"order \1 is on its way"},
            {"match": "order", "say": "which order?"},
            {"model": "other", "say": "not for m"},
        ],
        "default": "no idea",
    }
    server = endpoint(script)
    assert said(server, asked("where is order A17?")) == "order A17 is on its way"
    assert said(server, asked("my order?")) == "which order?"
    assert said(server, asked("hello")) == "no idea"


def test_a_sequence_is_said_once() -> None:
    """Whatever is asked, the sequence comes first."""
    server = endpoint({"sequence": ["one", "two"]})
    assert [said(server, asked("three")) for _ in range(3)] == ["one", "two", "three"]


def test_a_rule_calls_tools_and_then_speaks() -> None:
    """Calls first; after the tool's answer the rule's text, with the result in it."""
    server = endpoint({"rules": [{"calls": [{"name": "weather", "arguments": {"a": 1}}], "say": "it is {result}"}]})
    assert said(server, asked(tools=(WEATHER,))) == 'weather({"a": 1})'
    result = {"role": "tool", "content": "rain", "tool_call_id": "x"}
    assert said(server, asked("hello", result, tools=(WEATHER,))) == "it is rain"


def test_a_rule_may_call_for_ever() -> None:
    """With always it calls again after every result."""
    server = endpoint({"rules": [{"calls": [{"name": "weather"}], "always": True}]})
    result = {"role": "tool", "content": "rain", "tool_call_id": "x"}
    assert said(server, asked("hello", result, tools=(WEATHER,))) == "weather({})"


def test_nothing_is_called_where_nothing_is_offered() -> None:
    """Without tools, or with tool_choice none, there is no call."""
    server = endpoint({"rules": [{"calls": [{"name": "weather"}]}]})
    assert server.begin(asked(), 0.0).calls == ()
    assert server.begin(asked(tools=(WEATHER,), tool_choice="none"), 0.0).calls == ()


def test_the_same_question_has_the_same_answer_in_any_order() -> None:
    """What chance decides hangs on the seed and the question, not on when it is asked."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    questions = [f"question {number}" for number in range(20)]
    forth, back, other = endpoint(seed=1), endpoint(seed=1), endpoint(seed=2)
    answers = {text: said(forth, asked(text, schema=schema)) for text in questions}
    assert {text: said(back, asked(text, schema=schema)) for text in reversed(questions)} == answers
    assert {text: said(other, asked(text, schema=schema)) for text in questions} != answers


def test_times_are_those_of_the_pace() -> None:
    """The first token waits for the prompt to be read, the others for the tokens per second."""
    server = endpoint(pace=Pace(ttft=0.5, tps=20, prefill_tps=100))
    turn = server.begin(asked("x" * 400), 0.0)
    assert [turn.wait, turn.gap] == pytest.approx([1.5, 0.05])


def test_times_vary_by_the_jitter_and_repeat_by_the_seed() -> None:
    """Two endpoints with one seed have the same times; none is outside the jitter."""
    first, second = (endpoint(pace=Pace(ttft=1.0, jitter=0.2), seed=3) for _ in range(2))
    waits = [first.begin(asked(), 0.0).wait for _ in range(50)]
    assert waits == [second.begin(asked(), 0.0).wait for _ in range(50)]
    assert len(set(waits)) == 50
    assert all(0.8 <= wait <= 1.2 for wait in waits)


@pytest.mark.parametrize(
    ("written", "struck"),
    [
        ("reset@2", [2]),
        ("reset@2-3", [2, 3]),
        ("reset@*", [1, 2, 3, 4, 5]),
        ("reset", [1, 2, 3, 4, 5]),
        ("rate-limit:3s@4", [4]),
    ],
)
def test_a_fault_strikes_when_it_is_armed_for(written: str, struck: list[int]) -> None:
    """By number, by range, or always."""
    server = endpoint(faults=[written])
    assert [number for number in range(1, 6) if server.begin(asked(), 0.0).refusal] == struck


def test_a_fault_strikes_its_share_of_requests() -> None:
    """A share is drawn by the seed: about so many, and the same ones again."""
    runs = [endpoint(faults=["server-error@25%"], seed=5) for _ in range(2)]
    struck = [[number for number in range(400) if run.begin(asked(), 0.0).refusal] for run in runs]
    assert struck[0] == struck[1]
    assert 70 <= len(struck[0]) <= 130


def test_an_armed_fault_strikes_the_next_request_only() -> None:
    """arm() is for one request each, in order."""
    server = endpoint()
    server.arm("reset", "forbidden")
    refusals = [server.begin(asked(), 0.0).refusal for _ in range(3)]
    assert [refusal.name if refusal else None for refusal in refusals] == ["reset", "forbidden", None]


def test_loading_lasts_its_time() -> None:
    """From the request that it strikes on, every request finds it loading, until the time is over."""
    server = endpoint(faults=["loading:2s@1"])
    found = [server.begin(asked(), now).refusal for now in (10.0, 11.0, 11.9, 12.0)]
    assert [refusal.name if refusal else None for refusal in found] == ["loading", "loading", "loading", None]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("resett", 'did you mean "reset"'),
        ("xyzzy", "one of refuse"),
        ("reset@soon", "25%"),
        ("drop-mid:many", "duration"),
        ("", "drop-mid:5@3"),
    ],
)
def test_a_fault_that_is_written_wrong_is_told(written: str, says: str) -> None:
    """The error says what may be written."""
    with pytest.raises(ValueError, match=says):
        parse_fault(written)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_written(name: str) -> None:
    """Each name reads back, and has a line that says what it does."""
    assert parse_fault(f"{name}@3").name == name
    assert FAULTS[name].summary


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ([], "a script is a mapping"),
        ({"rule": []}, "a script has no rule"),
        ({"rules": ["x"]}, "a rule is a mapping"),
        ({"rules": [{"mach": "x"}]}, "a rule has no mach"),
        ({"rules": [{"match": "("}]}, "is no regex"),
        ({"rules": [{"calls": ["weather"]}]}, "a call is a mapping"),
    ],
)
def test_a_script_that_is_wrong_is_told(script: Any, says: str) -> None:
    """The error says what a script may hold."""
    with pytest.raises(ValueError, match=says):
        script_from(script)


def test_a_script_is_read_from_yaml(tmp_path: Any) -> None:
    """A file gives the same as its plain form; one that is no YAML says so."""
    path = tmp_path / "script.yaml"
    path.write_text("rules:\n  - match: hi\n    value: {route: billing}\n")
    assert said(simulated(["m"], read_script(path)), asked("hi")) == '{"route": "billing"}'
    path.write_text("rules: [")
    with pytest.raises(ValueError, match="is no YAML"):
        read_script(path)


SIMPLE = st.one_of(
    st.fixed_dictionaries({"type": st.just("string")}, optional={"maxLength": st.integers(1, 60)}),
    st.fixed_dictionaries({"type": st.just("string"), "minLength": st.integers(0, 30)}),
    st.fixed_dictionaries({"type": st.just("integer"), "minimum": st.integers(-5, 5), "maximum": st.integers(6, 9)}),
    st.fixed_dictionaries({"type": st.just("number"), "minimum": st.integers(-5, 5), "maximum": st.integers(6, 9)}),
    st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null", "integer", "number"])}),
    st.fixed_dictionaries({"type": st.just("integer"), "exclusiveMinimum": st.integers(-5, 5)}),
    st.fixed_dictionaries({"enum": st.lists(st.text(max_size=5) | st.integers(), min_size=1, max_size=4)}),
    st.fixed_dictionaries({"const": st.text(max_size=5)}),
    st.just({"$ref": "#/$defs/shared"}),
)
SCHEMAS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 3)}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.dictionaries(st.text(max_size=4), inner, max_size=4).map(
            lambda fields: {
                "type": "object",
                "properties": fields,
                "required": sorted(fields)[:2],
                "additionalProperties": False,
            }
        ),
    ),
    max_leaves=8,
)


@given(SCHEMAS, st.integers(0, 1000))
def test_generated_values_fit_their_schema(schema: dict[str, Any], seed: int) -> None:
    """Whatever the schema asks for, the generated JSON fits it, and is the same again by its seed."""
    root = {**schema, "$defs": {"shared": {"enum": ["a", "b"]}}}
    value = fitting(root, random.Random(seed))
    Draft202012Validator(root).validate(json.loads(json.dumps(value)))
    assert fitting(root, random.Random(seed)) == value


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    """A recursive schema gives a finite value."""
    tree = {
        "type": "object",
        "properties": {"children": {"type": "array", "minItems": 0, "items": {"$ref": "#"}}},
        "required": ["children"],
    }
    Draft202012Validator(tree).validate(fitting(tree, random.Random(1)))


@given(st.integers(1, 4), st.integers(0, 4), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_slots_are_never_more_than_there_are(count: int, queue: int, steps: list[tuple[bool, int]]) -> None:
    """However they come and go, no more run than there are slots, and who waits is served in the order of coming."""
    slots = Slots(count, queue)
    running: set[int] = set()
    waiting: list[int] = []
    for comes, ticket in steps:
        if comes and ticket not in running and ticket not in waiting:
            decision = slots.enter(ticket)
            assert decision == ("runs" if len(running) < count else "waits" if len(waiting) < queue else "full")
            if decision == "runs":
                running.add(ticket)
            elif decision == "waits":
                waiting.append(ticket)
        elif not comes:
            following = slots.leave(ticket)
            freed = ticket in running
            running.discard(ticket)
            waiting = [other for other in waiting if other != ticket]
            assert following == (waiting[0] if freed and waiting else None)
            if following is not None:
                running.add(waiting.pop(0))
        assert (slots.running, slots.waiting) == (len(running), len(waiting))
