"""Answers that must fit a schema, and what a model is told of what its functions gave."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from orchestrator.ports.provider import Capability, Support
from orchestrator.ports.tool import ToolOutcome
from orchestrator.serve.steps.plain import parse_answer
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, serving

pytestmark = pytest.mark.anyio
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def says(text: str) -> Script:
    """A model that is held to no schema."""
    return Script([Rule("", say=text.replace("\\", "\\\\"))])


def asking(**fields: Any) -> Wanted:
    """An agent whose answer must hold a number."""
    return Wanted([agent_spec("a", output_schema=NUMBER, **fields)])


async def test_an_answer_that_fits_is_parsed() -> None:
    """The value is in the result; the model was held to the schema."""
    async with serving(asking(), simulated(["m"], says('{"n": 3}'))) as served:
        result = await served.run("how many?")
        assert served.server.records[0].asked.schema == NUMBER
    assert (result.value, result.text, result.usage.model_calls) == ({"n": 3}, '{"n": 3}', 1)


async def test_an_answer_that_does_not_fit_is_repaired_once() -> None:
    """The model is told what is wrong."""
    script = Script(sequence=['{"n": "three"}', '{"n": 3}'])
    async with serving(asking(), simulated(["m"], script)) as served:
        result = await served.run("how many?")
        told = served.sent()[-2:]
    assert result.value == {"n": 3} and result.usage.model_calls == 2
    assert told[0] == ("assistant", '{"n": "three"}')
    assert told[1][1].startswith("The answer does not fit the schema: $.n: 'three' is not of type 'integer'.")


@pytest.mark.parametrize("bad", ["no json", "{}", "[]", '{"n": NaN}', '{"n": 1e999}', "[" * 100_000])
async def test_an_answer_that_stays_invalid_is_a_typed_error(bad: str) -> None:
    """With what was wrong last."""
    async with serving(asking(), simulated(["m"], says(bad), context=10**6)) as served:
        result = await served.run("how many?")
    assert result.error is not None and result.error["kind"] == "SchemaInvalid"
    assert "after one repair" in result.error["message"]


async def test_a_schema_that_nobody_can_follow_is_an_invalid_answer_with_its_reason() -> None:
    """Such a manifest is refused; a revision that was applied before may have one. The run ends as one with an answer that never
    fits, not by the library's own fault."""
    spec = agent_spec("a", output_schema={"$ref": "http://a.example/order.json"}, escalate_when=[])
    async with serving(Wanted([spec]), simulated(["m"], Script([Rule(say="{}")]))) as served:
        result = await served.run("hello")
    assert result.error is not None and result.error["kind"] == "SchemaInvalid"
    assert result.error["message"].endswith(
        "no value can be checked against it: 'http://a.example/order.json' is not in the schema itself, and nothing is fetched"
    )


@pytest.mark.parametrize("text", ["", "  \n"])
async def test_an_answer_of_nothing_is_told(text: str) -> None:
    """It is the model's answer all the same."""
    async with serving(Wanted([agent_spec("a")]), simulated(["m"], Script(sequence=[text, "hello"]))) as served:
        result = await served.run("say hello")
        other = await served.run("say hello")
    assert (result.status, result.text) == ("completed", text)
    assert result.notes == ("m@1 answered with an empty text (it ended with stop)",)
    assert (other.text, other.notes) == ("hello", ())


async def test_a_structured_answer_is_not_streamed_before_it_is_checked() -> None:
    """A listener gets it whole."""
    pieces: list[str] = []
    script = Script(sequence=["oops", '{"n": 3}'])
    async with serving(asking(), simulated(["m"], script)) as served:
        await served.run("x", lambda event: pieces.append(event.fields["text"]) if event.kind == "run.delta" else None)
    assert pieces == ['{"n": 3}']


@pytest.mark.parametrize("text", ['```json\n{"n": 1}\n```', '```\n{"n": 1}\n```', ' {"n": 1}\n'])
def test_a_fence_around_json_is_read_over(text: str) -> None:
    """Small models write it."""
    assert parse_answer(text) == {"n": 1}


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('```json\n{"n": 1,  "b": "è"}\n```', '{"n": 1,  "b": "è"}'),
        ('```\n{"n": 1}```', '{"n": 1}'),
        (' {"n": 1}\n', ' {"n": 1}\n'),
        ('{"n": 1, "b": "x\ny"}', '{"n": 1, "b": "x\\ny"}'),
        ('{"n": 1, "b": "\\ud83d"}', '{"n": 1, "b": "\ufffd"}'),
    ],
)
async def test_the_text_of_an_answer_is_the_json_that_was_checked(text: str, given: str) -> None:
    """As it was written where any reader takes it so, for who listens too."""
    pieces: list[str] = []
    async with serving(asking(), simulated(["m"], Script(sequence=[text]))) as served:
        result = await served.run(
            "x", lambda event: pieces.append(event.fields["text"]) if event.kind == "run.delta" else None
        )
    assert (result.text, pieces, json.loads(result.text)) == (given, [given], result.value)
    assert result.usage.model_calls == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"n": 1, "n": 2}', "'n'"),
        ('```json\n{"n": 1, "m": [{"a": 1, "b": 2, "a": 1, "b": 3}]}\n```', "'a' and for 'b'"),
    ],
)
async def test_an_answer_that_says_a_thing_twice_is_repaired_once(text: str, told: str) -> None:
    """Which of the two would count, each reader says otherwise."""
    async with serving(asking(), simulated(["m"], Script(sequence=[text, '{"n": 2}']))) as served:
        result = await served.run("how many?")
        asked = served.sent()[-1][1]
    assert (result.value, result.usage.model_calls) == ({"n": 2}, 2)
    assert f"does not fit the schema: an object has several values for {told}, and may have one." in asked
    async with serving(asking(), simulated(["m"], Script(sequence=[text, text]))) as served:
        result = await served.run("how many?")
    assert result.error is not None and result.error["kind"] == "SchemaInvalid"


def test_raw_control_characters_in_json_are_read() -> None:
    """Some servers let them through."""
    assert parse_answer('{"a": "x\ny\t"}') == {"a": "x\ny\t"}


async def test_a_number_that_json_cannot_write_is_told_as_a_fault() -> None:
    """Where the schema takes any number, and would take an infinite one."""
    wide = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}
    script = Script(sequence=['{"price": 1e999}', '{"price": 7.5}'])
    async with serving(Wanted([agent_spec("a", output_schema=wide)]), simulated(["m"], script)) as served:
        result = await served.run("x")
        assert "1e999 is too large a number" in served.sent()[-1][1]
    assert result.value == {"price": 7.5}


@pytest.mark.parametrize(
    ("support", "sent", "in_words"),
    [
        (Support.YES, True, False),
        (Support.UNKNOWN, True, True),
        (Support.IGNORED, True, True),
        (Support.NO, False, True),
    ],
)
async def test_the_schema_is_said_in_words_where_the_server_may_not_hold_the_model_to_it(
    support: Support, sent: bool, in_words: bool
) -> None:
    """And not sent where that is an error."""
    wanted = Wanted([agent_spec("a", output_schema=NUMBER)], capabilities={Capability.JSON_SCHEMA: support})
    async with serving(wanted, simulated(["m"], says('{"n": 1}'))) as served:
        result = await served.run("x")
        record = served.server.records[0].asked
    assert result.value == {"n": 1}
    assert (record.schema is not None) is sent
    assert ("Answer only with JSON" in record.messages[0]["content"]) is in_words


async def test_an_agent_with_tools_and_a_schema_is_told_the_schema() -> None:
    """Servers cannot hold a model to a schema and let it call functions at once."""
    tool = FakeTool("shop", {"count": 3})
    script = Script([Rule("", say='{"n": {result}}', calls=(("shop_count", {}),))])
    wanted = Wanted([agent_spec("a", output_schema=NUMBER, tools=["shop"])], [tool])
    async with serving(wanted, simulated(["m"], script)) as served:
        result = await served.run("how many?")
        assert all(record.asked.schema is None for record in served.server.records)
        assert "Answer only with JSON" in served.sent(0)[0][1]
    assert result.value == {"n": 3}


# -- functions ------------------------------------------------------------------------------------------------------

TYPED = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "count": {"type": "integer"}},
    "required": ["sku"],
    "additionalProperties": False,
}


async def tell(tool: FakeTool, name: str, arguments: Any) -> str:
    """What a model is told of a call."""
    script = Script([Rule("", say="{result}", calls=((name, arguments),))])
    async with serving(Wanted([agent_spec("a", tools=["shop"])], [tool]), simulated(["m"], script)) as served:
        return (await served.run("go")).text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"sku": "A1", "count": "3"}, '{"sku": "A1", "count": 3}'),
        ({}, 'error: shop.find: "sku" is missing'),
        ({"sku": "A1", "skuu": 1}, 'error: shop.find: "skuu" is unknown (did you mean "sku")'),
    ],
)
async def test_arguments_are_checked_and_what_is_wrong_is_told(arguments: dict[str, Any], told: str) -> None:
    """What can only mean one thing is read so."""
    tool = FakeTool("shop", {"find": lambda given, context: dict(given)}, parameters=TYPED)
    assert await tell(tool, "shop_find", arguments) == told


async def test_a_function_that_is_not_there_is_told_with_those_that_are() -> None:
    """The model can mend it."""
    told = await tell(FakeTool("shop", {"find": 1}), "shop_fnid", {})
    assert told == "error: there is no function 'shop_fnid'; the functions are: shop_find"


@pytest.mark.parametrize("written", ["{", "[1]", '"x"', "[" * 100_000])
async def test_arguments_that_are_no_object_are_told(written: str) -> None:
    """As the model wrote them."""

    class Odd(Script):
        def answer(self, asked, chance):  # type: ignore[no-untyped-def] # as the class above it has it
            said = super().answer(asked, chance)
            calls = tuple(type(call)(call.id, call.name, written) for call in said.calls)
            return type(said)(said.text, calls)

    tool = FakeTool("shop", {"find": 1})
    script = Odd([Rule("", say="{result}", calls=(("shop_find", {}),))])
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool])
    async with serving(wanted, simulated(["m"], script, context=10**6)) as served:
        result = await served.run("go")
    assert result.text.startswith("error: the arguments are no JSON object")
    assert not tool.calls


async def test_long_outputs_are_cut_and_say_so() -> None:
    """Nothing is lost in silence."""
    tool = FakeTool("shop", {"find": ToolOutcome(1, "x" * 16_050)})
    script = Script([Rule("", say="{result}", calls=(("shop_find", {}),))])
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool])
    async with serving(wanted, simulated(["m"], script, context=10**6)) as served:
        await served.run("go")
        told = served.sent()[-1][1]
    assert told.endswith("x\n[50 more characters were left out]")


async def test_a_slow_function_is_stopped_and_told() -> None:
    """After its own time."""

    async def slow() -> int:
        await anyio.sleep(1000)
        return 1

    tool = FakeTool("shop", {"find": lambda given, context: slow()})
    assert await tell(tool, "shop_find", {}) == "error: shop.find did not finish in 10 s"


async def test_calls_of_one_run_have_ids_of_their_own() -> None:
    """Models give the same id to several calls; a store must not take two calls for one."""
    tool = FakeTool("shop", {"find": 1})
    script = Script([Rule("", say="done", calls=(("shop_find", {}), ("shop_find", {})))])
    async with serving(Wanted([agent_spec("a", tools=["shop"])], [tool]), simulated(["m"], script)) as served:
        await served.run("go")
        wishes = served.server.records[1].asked.messages[2]["tool_calls"]
        answers = [each["tool_call_id"] for each in served.server.records[1].asked.messages[3:]]
    assert len({call[2].call_id for call in tool.calls}) == 2
    assert [wish["id"] for wish in wishes] == answers, "the model's own ids stay its own"


async def test_what_a_function_gave_is_data_for_the_model_and_never_a_template() -> None:
    """Even where it looks like one."""
    tool = FakeTool("shop", {"find": {"note": "{{ 7 * 7 }}"}})
    assert json.loads(await tell(tool, "shop_find", {})) == {"note": "{{ 7 * 7 }}"}
