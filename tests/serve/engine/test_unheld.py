"""A server that holds answers to JSON Schemas, but makes no grammar of this one: the answer is asked for in words there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import anyio
import pytest

from orchestrator.core.errors import BadRequest, GrammarRefused, ServerFailed
from orchestrator.core.message import Message, Usage
from orchestrator.deploy.endpoint import EndpointSpec
from orchestrator.ports.provider import Capability, ChatCall, ChatReply, Delta, Provider, Support, Target
from orchestrator.serve.ask import Ask
from orchestrator.serve.steps.window import Window
from orchestrator.serve.unheld import MOST, REMEMBERED, Refusals, Unheld, in_words, without_schema
from orchestrator.testing.endpoint import SimulatedEndpoint, simulated
from orchestrator.testing.fault import parse_fault
from orchestrator.testing.script import Rule, Script
from tests.serve.engine.parts import Wanted, agent_spec, router_spec, serving

pytestmark = pytest.mark.anyio

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
REFUSED = "Failed to initialize samplers: failed to parse grammar"
NOTE = f"m@1 cannot hold answers to the JSON Schema of agent.a ({REFUSED}): it was asked in words, and its answer is checked"
HOLDS = {Capability.JSON_SCHEMA: Support.YES}
STREAMS = {**HOLDS, Capability.STREAM: Support.YES, Capability.STREAM_USAGE: Support.YES}


def refusing(*answers: str) -> SimulatedEndpoint:
    """A server that refuses each request which has a schema, and says these to the others, the last of them for ever."""
    script = Script([Rule(say=answers[-1])], sequence=answers[:-1])
    return simulated(["m"], script, ["grammar-refused@*"])


def wanted(**fields: Any) -> Wanted:
    return Wanted([agent_spec("a", output_schema=NUMBER, **fields)], capabilities=HOLDS)


# -- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capabilities", [HOLDS, STREAMS], ids=["whole", "in-pieces"])
async def test_it_is_asked_again_in_words_and_from_then_on_at_once(capabilities: Mapping[Capability, Support]) -> None:
    """The result says so, in the server's words; nothing of it is a fault of the server."""
    server = refusing('{"n": 1}')
    async with serving(replace(wanted(), capabilities=capabilities), server) as served:
        first, second = await served.run("one"), await served.run("two")
        (view,) = served.loop.snapshot()
    assert (first.status, first.value) == (second.status, second.value) == ("completed", {"n": 1})
    assert first.notes == second.notes == (NOTE,)
    assert [record.asked.schema is not None for record in server.records] == [True, False, False]
    assert [record.asked.stream for record in server.records] == [capabilities is STREAMS] * 3
    assert (view.state, view.failures, view.breaker, view.last_error) == ("ready", 0, "closed", "")
    for result in (first, second):
        (step,) = [step for step in result.steps if step.kind == "model"]
        assert step.detail["unheld"] == REFUSED and "attempts" not in step.detail
    assert first.usage.model_calls == 1


async def test_the_schema_is_in_the_instructions() -> None:
    """Behind what the agent is told, once."""
    server = refusing('{"n": 1}')
    async with serving(wanted(), server) as served:
        await served.run("one")
        sent = served.sent()
    assert sent == [("system", f"You are a.\n\n{in_words(NUMBER)}"), ("user", "one")]


async def test_an_answer_that_does_not_fit_is_repaired_once() -> None:
    """In words too, and without another refusal."""
    server = refusing("I think one.", '{"n": 1}')
    async with serving(wanted(), server) as served:
        result = await served.run("one")
    assert result.value == {"n": 1}
    assert [record.asked.schema is not None for record in server.records] == [True, False, False]
    assert "does not fit the schema" in server.records[-1].asked.text


async def test_one_that_never_fits_is_an_invalid_answer() -> None:
    """Not a request that was refused."""
    async with serving(wanted(escalate_when=[]), refusing("one")) as served:
        result = await served.run("one")
    assert result.error is not None and result.error["kind"] == "SchemaInvalid"
    assert result.notes == (NOTE,)


async def test_a_request_that_is_refused_for_another_reason_fails_as_before() -> None:
    """It is not repeated."""
    server = simulated(["m"], faults=["bad-request@*"])
    async with serving(wanted(escalate_when=[]), server) as served:
        result = await served.run("one")
    assert result.error is not None and (result.error["kind"], result.error["code"]) == ("BadRequest", "ORC524")
    assert len(server.records) == 1 and result.notes == ()


async def test_the_repeat_may_go_elsewhere() -> None:
    """A server that fails in the repeat is passed over as ever, and the next one is asked with the schema."""
    first, second = simulated(["m"]), simulated(["m"], Script([Rule(say='{"n": 2}')]))
    first.arm("grammar-refused", *["server-error"] * 3)
    asked = replace(wanted(), bound={"m": ("m@1", "m@2")})
    async with serving(asked, first, second) as served:
        result = await served.run("one")
    assert (result.value, result.served_by, result.notes) == ({"n": 2}, "m@2", ())
    assert [record.asked.schema is not None for record in first.records] == [True, False, False, False]
    assert [record.asked.schema is not None for record in second.records] == [True]


async def test_a_routers_question_goes_in_words_too() -> None:
    """Its choice is believed only where it is one of the names, as ever."""
    front = router_spec("front", {"a": "zzz", "b": "zzz"}, strategy="intent", models=["m"])
    asked = Wanted([front, agent_spec("a"), agent_spec("b")], capabilities=HOLDS)
    async with serving(asked, refusing('{"agent": "b"}')) as served:
        result = await served.run("please")
    assert result.agent == "b"
    assert result.notes[0].startswith("m@1 cannot hold answers to the JSON Schema of router.front (")


async def test_in_the_cloud_what_was_refused_costs_nothing() -> None:
    """The repeat does."""
    asked = replace(wanted(), cloud=["m@1"])
    async with serving(asked, refusing('{"n": 1}')) as served:
        result = await served.run("one")
    (step,) = [step for step in result.steps if step.kind == "model"]
    assert result.value == {"n": 1} and step.detail["spent"].startswith("1 call, ")


async def test_in_the_cloud_the_words_are_paid_for_before_they_are_said() -> None:
    """What is set aside covers them: of other scripts than Latin they are several times as long as the schema."""
    fields = {f"n{number}": {"type": "integer", "description": "価格" * 50} for number in range(20)}
    spec = agent_spec("a", output_schema={"type": "object", "properties": fields}, max_tokens=50, escalate_when=[])
    results, servers = [], [refusing('{"n1": 1}'), refusing('{"n1": 1}')]
    for server, tokens in zip(servers, (1500, 6000), strict=True):
        security = {"budget": {"per_run": {"tokens": tokens}}}
        asked = Wanted([spec], capabilities=HOLDS, cloud=["m@1"], security=security)
        async with serving(asked, server) as served:
            results.append(await served.run("one"))
    poor, rich = results
    assert poor.error is not None and poor.error["code"] == "ORC551" and servers[0].records == []
    assert rich.value == {"n1": 1} and 1500 < rich.usage.total_tokens < 6000


async def test_a_stream_is_repeated_before_its_first_piece() -> None:
    """Its caller sees the one answer only."""
    server = refusing("one two three")
    async with serving(wanted(), server) as served:
        call = ChatCall(Target("", "", ""), (Message("user", "count"),), schema=NUMBER)
        ask = Ask(call, ("m@1",), anyio.current_time() + 60)
        async with aclosing(served.loop.stream(ask)) as deltas:
            pieces = [delta async for delta in deltas]
    assert "".join(delta.text for delta in pieces) == "one two three"
    assert ask.trace.unheld == REFUSED and [each.outcome for each in ask.trace.attempts] == ["ok"]


# -- the words are a part of the prompt -----------------------------------------------------------------------------


WIDE = {"type": "object", "properties": {f"field{number}": {"type": "integer"} for number in range(120)}}
"""Some 4 kB of JSON."""
SILENT = {**HOLDS, Capability.OVERFLOW_REFUSED: Support.IGNORED}
LONG = tuple(Message("user" if n % 2 == 0 else "assistant", f"turn {n} " + "word " * 100) for n in range(8))


def cutting(context: int) -> SimulatedEndpoint:
    """A server that makes no grammar, and cuts without a word what it cannot read."""
    faults, script = [parse_fault("grammar-refused@*")], Script([Rule(say='{"field1": 1}')])
    return SimulatedEndpoint(("m",), script, faults=faults, context=context, ignores=frozenset({"overflow"}))


@pytest.mark.parametrize("cloud", [(), ("m@1",)], ids=["near", "cloud"])
async def test_words_that_do_not_fit_the_window_are_not_sent(cloud: tuple[str, ...]) -> None:
    """Neither in the repeat nor when the refusal is known: an error with the figures, as for any prompt that is too long."""
    spec = agent_spec("a", output_schema=WIDE, escalate_when=[])
    asked = Wanted([spec], capabilities=SILENT, contexts={"m@1": 600}, cloud=cloud)
    server = cutting(600)
    async with serving(asked, server) as served:
        first, second = await served.run("one"), await served.run("two")
    for result in (first, second):
        assert result.error is not None and result.error["code"] == "ORC525" and result.notes == ()
        assert "does not fit the 600 tokens that m@1 serves" in result.error["message"]
        assert (
            f"its JSON Schema has to be said in words there, for the server makes no grammar of it ({REFUSED})"
            in (result.error["message"])
        )
    assert [record.asked.schema is not None for record in server.records] == [True]


async def test_older_turns_make_room_for_the_words() -> None:
    """By halves, as where a window is learned late; the newest turn is sent."""
    asked = Wanted([agent_spec("a", output_schema=WIDE)], capabilities=SILENT, contexts={"m@1": 2400})
    server = cutting(2400)
    async with serving(asked, server) as served:
        result = await served.run("and now?", history=LONG)
        sent = served.sent()
    assert result.status == "completed" and sent[0][1].endswith(in_words(WIDE)) and sent[-1][1] == "and now?"
    assert len(sent) == 4
    assert [record.asked.schema is not None for record in server.records] == [True, False]
    assert result.notes == (
        "4 older messages of the conversation did not fit the context of m@1 and were left out",
        "2 older messages of the conversation did not fit the context of m@1 and were left out",
        NOTE,
    )


async def test_an_endpoint_with_room_for_the_words_is_asked_instead() -> None:
    """The first one cannot be: not even in words."""
    small, large = cutting(600), cutting(8000)
    bound = {"m": ("m@1", "m@2")}
    asked = Wanted(
        [agent_spec("a", output_schema=WIDE)], bound=bound, capabilities=SILENT, contexts={"m@1": 600, "m@2": 8000}
    )
    async with serving(asked, small, large) as served:
        result = await served.run("one")
    assert (result.status, result.served_by) == ("completed", "m@2")
    assert [len(small.records), len(large.records)] == [1, 2]


async def test_a_cut_is_seen_by_all_that_was_said() -> None:
    """Of a window that nobody knows, the server's count tells: against the words too."""
    asked = Wanted([agent_spec("a", output_schema=WIDE)], capabilities=SILENT)
    async with serving(asked, cutting(150)) as served:
        result = await served.run("one")
    assert "m@1 read only 150 tokens of the prompt: the rest was cut without a word" in result.notes


# -- one carrier ----------------------------------------------------------------------------------------------------


class Scripted:
    """A provider whose calls end as it is told: with an error, or an answer; a text before an error has been streamed."""

    kind = "scripted"

    def __init__(self, *ends: Exception | str) -> None:
        self.ends = list(ends)
        self.calls: list[ChatCall] = []
        self.before = ""

    async def chat(self, call: ChatCall) -> ChatReply:
        self.calls.append(call)
        await anyio.sleep(1)
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return ChatReply(Message("assistant", end), "stop", Usage())

    async def stream(self, call: ChatCall) -> AsyncIterator[Delta]:
        if self.before:
            yield Delta(self.before)
        yield Delta(reply=await self.chat(call))


def spec_of(provider: Scripted, id: str = "m@1", model: str = "m") -> EndpointSpec:
    return EndpointSpec(id, Target("scripted", "http://one", model), cast(Provider, provider))


def carrier(provider: Scripted, refusals: Refusals, told: list[str] | None = None) -> Unheld:
    told = [] if told is None else told
    return Unheld(cast(Provider, provider), spec_of(provider), Window("m@1"), refusals, told.append)


CALL = ChatCall(Target("", "", ""), (Message("user", "count"),), schema=NUMBER, timeout=10.0)
NO = GrammarRefused("no grammar")


async def test_what_is_refused_without_the_schema_too_was_not_the_schemas_fault() -> None:
    """Such as a chat template that the server cannot read: the fault is told as it is, and nothing is remembered."""
    provider, refusals, told = Scripted(NO, GrammarRefused("no template")), Refusals(), list[str]()
    with pytest.raises(GrammarRefused, match="no template"):
        await carrier(provider, refusals, told).chat(CALL)
    assert refusals.why(spec_of(provider), NUMBER) == "" and told == ["", "no grammar", ""]


async def test_what_is_refused_in_words_is_forgotten() -> None:
    """The next call is asked as it is, once more."""
    provider, refusals = Scripted(NO, "1", NO, "2"), Refusals()
    await carrier(provider, refusals).chat(CALL)
    with pytest.raises(GrammarRefused):
        await carrier(provider, refusals).chat(CALL)
    await carrier(provider, refusals).chat(CALL)
    assert [call.schema is not None for call in provider.calls] == [True, False, False, True]


async def test_another_fault_of_the_repeat_is_its_own() -> None:
    """The schema stays refused."""
    provider, refusals = Scripted(NO, ServerFailed("down")), Refusals()
    with pytest.raises(ServerFailed):
        await carrier(provider, refusals).chat(CALL)
    assert refusals.why(spec_of(provider), NUMBER) == "no grammar"


async def test_the_repeat_has_the_time_that_is_left() -> None:
    """The first try took one of ten seconds."""
    provider = Scripted(NO, "1")
    await carrier(provider, Refusals()).chat(CALL)
    assert [call.timeout for call in provider.calls] == [10.0, pytest.approx(9.0)]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_call_without_a_schema_is_not_repeated(whole: bool) -> None:
    """Its functions may be what no grammar is made of."""
    provider = Scripted(NO)
    one = carrier(provider, Refusals())
    with pytest.raises(BadRequest):
        await (one.chat(replace(CALL, schema=None)) if whole else anext(one.stream(replace(CALL, schema=None))))
    assert len(provider.calls) == 1


async def test_a_stream_that_has_begun_is_not_repeated() -> None:
    """Somebody has seen a part of it."""
    provider = Scripted(NO)
    provider.before = "one"
    with pytest.raises(GrammarRefused):
        async for _ in carrier(provider, Refusals()).stream(CALL):
            pass
    assert len(provider.calls) == 1


async def test_a_streams_second_refusal_ends_it() -> None:
    """As a whole answer's does."""
    provider, refusals = Scripted(NO, NO), Refusals()
    with pytest.raises(GrammarRefused):
        async for _ in carrier(provider, refusals).stream(CALL):
            pass
    assert len(provider.calls) == 2 and not refusals.why(spec_of(provider), NUMBER)


# -- what is remembered ---------------------------------------------------------------------------------------------


async def test_it_is_of_one_endpoint_and_one_schema() -> None:
    """Not of the same id with another model, either."""
    provider, refusals = Scripted(), Refusals()
    refusals.note(spec_of(provider), NUMBER, "no")
    assert refusals.why(spec_of(provider), dict(NUMBER)) == "no"
    assert refusals.why(spec_of(provider), {"type": "integer"}) == ""
    assert refusals.why(spec_of(provider, "m@2"), NUMBER) == ""
    assert refusals.why(spec_of(provider, model="other"), NUMBER) == ""


async def test_it_is_asked_again_after_a_while() -> None:
    """Its server may be another version by then."""
    provider, refusals = Scripted(), Refusals()
    refusals.note(spec_of(provider), NUMBER, "no")
    await anyio.sleep(REMEMBERED - 1)
    assert refusals.why(spec_of(provider), NUMBER) == "no"
    await anyio.sleep(1)
    assert refusals.why(spec_of(provider), NUMBER) == ""


async def test_it_is_bounded() -> None:
    """The oldest is forgotten."""
    provider, refusals = Scripted(), Refusals()
    for number in range(MOST + 1):
        refusals.note(spec_of(provider), {"const": number}, "no")
    assert refusals.why(spec_of(provider), {"const": 0}) == ""
    assert all(refusals.why(spec_of(provider), {"const": number}) for number in range(1, MOST + 1))


def test_words_that_are_there_are_not_said_twice() -> None:
    """An agent with functions was told the schema from the start."""
    there = replace(CALL, messages=(Message("system", f"Hi.\n\n{in_words(NUMBER)}"), *CALL.messages))
    assert without_schema(there).messages == there.messages
    assert without_schema(CALL).messages == (Message("system", in_words(NUMBER)), *CALL.messages)
    assert without_schema(there).schema is None
