"""The official ``openai`` client, unchanged, against the front door on a real socket."""

from __future__ import annotations

import time
from typing import Any

import anyio
import openai
import pytest

from orchestrator.testing.endpoint import simulated
from orchestrator.testing.pace import Pace
from orchestrator.testing.script import Rule, Script
from tests.gateway.conftest import OpenDoor
from tests.gateway.test_body import CALL, turns
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, router_spec

pytestmark = pytest.mark.anyio
AGENT = Wanted([agent_spec("a")])
HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
UNICODE = "Grüß dich, 漢字, \U0001f600, \u202e, \x07, 'quotes' \"double\" \\ and\nlines"


async def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for a condition."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is told by no event
            await anyio.sleep(0.01)


async def test_a_whole_answer(open_door: OpenDoor) -> None:
    """With its usage, and how it came about."""
    async with open_door(AGENT) as door:
        answer = await door.client.chat.completions.create(model="shop", messages=HELLO)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("hello there", "stop")
    assert answer.model == "shop" and answer.id.startswith("run_")
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (2, answer.usage.prompt_tokens + 2)
    about = answer.model_extra["orchestrator"]  # type: ignore[index] # it is there, or this test fails
    assert (about["agent"], about["path"], about["served_by"]) == ("a", ["agent.a"], "m@1")


async def test_a_streamed_answer(open_door: OpenDoor) -> None:
    """In pieces, the role first, the reason last, the usage where it is asked for."""
    server = simulated(["m"], Script(default="one two three four five six"), pace=Pace(tps=100))
    async with open_door(AGENT, server) as door:
        stream = await door.client.chat.completions.create(
            model="shop", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in texts) == "one two three four five six" and len(texts) > 3
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert not chunks[-1].choices and chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 6
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_without_usage_has_none(open_door: OpenDoor) -> None:
    """As the protocol has it."""
    async with open_door(AGENT) as door:
        stream = await door.client.chat.completions.create(model="shop", messages=HELLO, stream=True)
        assert all(chunk.usage is None and chunk.choices for chunk in [chunk async for chunk in stream])


async def test_the_helper_for_streams_of_the_client(open_door: OpenDoor) -> None:
    """It puts the pieces together."""
    async with open_door(AGENT) as door, door.client.chat.completions.stream(model="shop", messages=HELLO) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "hello there"


async def test_deployments_are_the_models(open_door: OpenDoor) -> None:
    """Listed, and one by one."""
    async with open_door(AGENT) as door:
        assert [(model.id, model.created) async for model in door.client.models.list()] == [("shop", 1_700_000_000)]
        assert (await door.client.models.retrieve("shop")).created == 1_700_000_000
        assert (await door.client.models.retrieve("shop")).id == "shop"
        with pytest.raises(openai.NotFoundError):
            await door.client.models.retrieve("shoe")


async def test_an_unknown_model_is_404_with_the_nearest(open_door: OpenDoor) -> None:
    """Also an agent that is none."""
    async with open_door(AGENT) as door:
        with pytest.raises(openai.NotFoundError, match='did you mean "shop"') as raised:
            await door.client.chat.completions.create(model="shpo", messages=HELLO)
        assert raised.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError, match='"shop" has no agent "b"'):
            await door.client.chat.completions.create(model="shop/b", messages=HELLO)


async def test_a_request_may_name_its_agent(open_door: OpenDoor) -> None:
    """After the deployment's name."""
    wanted = Wanted([router_spec("front", {"a": "x"}), agent_spec("a"), agent_spec("b")])
    async with open_door(wanted) as door:
        answer = await door.client.chat.completions.create(model="shop/b", messages=HELLO)
    assert answer.model_extra["orchestrator"]["path"] == ["agent.b"]  # type: ignore[index] # it is there, or this test fails


async def test_fields_that_have_no_effect_are_named(open_door: OpenDoor) -> None:
    """In a header, in which nobody can write headers of his own."""
    odd = {"x\r\nSet-Cookie: a=b": 1, "ü": 1, "store": False, "frequency_penalty": 0.5}
    async with open_door(AGENT) as door:
        raw = await door.client.chat.completions.with_raw_response.create(
            model="shop", messages=HELLO, extra_body={**odd, "response_format": {"type": "text"}, "tools": []}
        )
    named = raw.headers["x-orchestrator-ignored"]
    assert named == "frequency_penalty, store, x??Set-Cookie: a=b, ?" and "set-cookie" not in raw.headers
    assert raw.headers["x-orchestrator-agent"] == "a" and raw.headers["x-orchestrator-run"].startswith("run_")


async def test_options_sessions_priority_and_time_reach_the_engine(open_door: OpenDoor) -> None:
    """As fields of the body, or as metadata."""
    async with open_door(AGENT) as door:
        create = door.client.chat.completions.create
        answer = await create(
            model="shop", messages=HELLO, max_completion_tokens=1, temperature=0.5, seed=7, stop="x", user="u-1",
            extra_body={"session": "s", "priority": "low", "timeout": "3s"},
        )  # fmt: skip
        assert answer.choices[0].finish_reason == "length"
        asked = door.server.records[0].asked
        assert (asked.max_tokens, asked.seed, asked.stop) == (1, 7, ("x",))
        await create(model="shop", messages=[{"role": "user", "content": "again"}], metadata={"session": "s"})
        assert [each["content"] for each in door.server.records[1].asked.messages] == [
            "You are a.",
            "hello there",
            "hello",
            "again",
        ]


async def test_too_many_requests_are_429_with_the_time_to_wait(open_door: OpenDoor) -> None:
    """The client waits and comes again by itself."""
    wanted = Wanted([agent_spec("a")], max_concurrent=1, queue={"interactive": {"length": 1}})
    async with open_door(wanted, simulated(["m"], pace=Pace(ttft=0.4))) as door:
        create = door.client.with_options(max_retries=0).chat.completions.create

        async def ask() -> None:
            await create(model="shop", messages=HELLO)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await until(lambda: door.served.engine.gate.waiting == 1)
            with pytest.raises(openai.RateLimitError) as raised:
                await create(model="shop", messages=HELLO)
            headers = raised.value.response.headers
            assert (headers["retry-after"], headers["x-should-retry"]) == ("1", "true")
            began = time.monotonic()
            answer = await door.client.chat.completions.create(model="shop", messages=HELLO)
            assert answer.choices and time.monotonic() - began >= 0.9


async def test_no_model_is_503_with_the_cure_and_no_retry(open_door: OpenDoor) -> None:
    """One request, one run: a repeat would not help."""
    async with open_door(Wanted([agent_spec("a")], bound={})) as door:
        with pytest.raises(
            openai.InternalServerError, match=r"no model serves agent.a; m is not served \(run run_"
        ) as raised:
            await door.client.chat.completions.create(model="shop", messages=HELLO)
        assert (raised.value.status_code, raised.value.code) == (503, "ORC502")
        assert door.served.kinds().count("run.started") == 1


async def test_time_that_is_over_is_504_and_a_run_that_did_things_is_not_repeated(open_door: OpenDoor) -> None:
    """The client does not repeat a 5xx that tells it not to."""
    tool = FakeTool("shop", {"buy": "bought"})
    wanted = Wanted([agent_spec("a", tools=["shop"])], [tool], timeout=0.3)
    script = Script([Rule("", calls=(("shop_buy", {}),), always=True)])
    server = simulated(["m"], script, pace=Pace(ttft=0.12))
    async with open_door(wanted, server) as door:
        with pytest.raises(openai.InternalServerError) as raised:
            await door.client.chat.completions.create(model="shop", messages=HELLO)
    assert (raised.value.status_code, raised.value.code) == (504, "ORC504")
    assert door.served.kinds().count("run.started") == 1 and tool.calls


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("unauthorized", 502, "ORC523"), ("context-too-long", 400, "ORC525"), ("server-error", 502, "ORC527")],
)
async def test_a_model_servers_fault_has_its_status(open_door: OpenDoor, fault: str, status: int, code: str) -> None:
    """And its code."""
    server = simulated(["m"])
    server.arm(*[fault] * 10)
    async with open_door(Wanted([agent_spec("a")], timeout=5), server) as door:
        with pytest.raises(openai.APIStatusError) as raised:
            await door.client.chat.completions.create(model="shop", messages=HELLO)
    assert (raised.value.status_code, raised.value.code) == (status, code)


async def test_a_stream_that_fails_before_it_began_has_the_same_status(open_door: OpenDoor) -> None:
    """No 200 is sent until there is something to send."""
    async with open_door(Wanted([agent_spec("a")], bound={})) as door:
        with pytest.raises(openai.InternalServerError):
            await door.client.chat.completions.create(model="shop", messages=HELLO, stream=True)


async def test_a_stream_that_breaks_off_says_so(open_door: OpenDoor) -> None:
    """As an event that the client raises, after what had come."""
    server = simulated(["m"], Script(default="word " * 300), pace=Pace(tps=2_000))
    server.arm("drop-mid:200")
    heard: list[str] = []
    async with open_door(AGENT, server) as door:
        stream = await door.client.chat.completions.create(model="shop", messages=HELLO, stream=True)

        async def listen() -> None:
            async for chunk in stream:
                heard.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - what came before the break counts

        with pytest.raises(openai.APIError, match="the stream ended before the answer did"):
            await listen()
    assert "".join(heard).startswith("word word")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_goes_away_cancels_the_model_call(open_door: OpenDoor, streamed: bool) -> None:
    """The model server's own log has it."""
    server = simulated(["m"], Script(default="word " * 3_000), pace=Pace(ttft=0.05, tps=50))
    heard: list[Any] = []
    async with open_door(AGENT, server) as door:

        async def ask() -> None:
            answer: Any = await door.client.chat.completions.create(model="shop", messages=HELLO, stream=streamed)
            async for chunk in answer:
                heard.append(chunk)  # noqa: PERF401 - it is cancelled in the middle

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await until(lambda: server.records)
            await until(lambda: heard or not streamed)
            tasks.cancel_scope.cancel()
        await until(lambda: server.cancelled)
        await until(lambda: door.served.engine.in_flight == 0)
        assert door.served.events[-1].fields["result"].error["kind"] == "RunCancelled"


async def test_any_text_comes_back_as_it_was(open_door: OpenDoor) -> None:
    """Whole and streamed."""
    messages: list[Any] = [{"role": "user", "content": UNICODE}]
    server = simulated(["m"], Script([Rule("(?s)(.*)", say=r"\1")]))
    async with open_door(AGENT, server) as door:
        whole = await door.client.chat.completions.create(model="shop", messages=messages)
        stream = await door.client.chat.completions.create(model="shop", messages=messages, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert whole.choices[0].message.content == "".join(pieces) == UNICODE


async def test_a_history_of_400_messages(open_door: OpenDoor) -> None:
    """As many of them as the agent sees reach the model."""
    before: list[Any] = [{"role": "system", "content": "Be brief."}]
    for number in range(200):
        before.append({"role": "user", "content": [{"type": "text", "text": f"question {number}"}]})
        before.append({"role": "assistant", "content": f"answer {number}"})
    async with open_door(Wanted([agent_spec("a", history_turns=1000)]), simulated(["m"], context=10**6)) as door:
        answer = await door.client.chat.completions.create(model="shop", messages=turns(*before))
        seen = door.server.records[0].asked.messages
    assert answer.choices[0].message.content == "hello there" and len(seen) == 402
    assert seen[0]["content"] == "You are a.\n\nBe brief." and seen[-2]["content"] == "answer 199"


async def test_tool_calls_in_a_history_are_kept(open_door: OpenDoor) -> None:
    """As the client saw them elsewhere."""
    before: list[Any] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "assistant", "content": "a"},
    ]
    async with open_door(AGENT) as door:
        await door.client.chat.completions.create(model="shop", messages=turns(*before))
        seen = door.server.records[0].asked.messages
    assert seen[2]["tool_calls"] == [CALL] and seen[3]["tool_call_id"] == "c1"


async def test_fifty_clients_at_once(open_door: OpenDoor) -> None:
    """Each gets its own answer."""
    async with open_door(Wanted([agent_spec("a")], slots=100), simulated(["m"], slots=100, pace=Pace(tps=500))) as door:
        answers: dict[int, str | None] = {}

        async def ask(number: int) -> None:
            messages: list[Any] = [{"role": "user", "content": f"number {number}"}]
            if number % 2:
                stream = await door.client.chat.completions.create(model="shop", messages=messages, stream=True)
                answers[number] = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            else:
                answer = await door.client.chat.completions.create(model="shop", messages=messages)
                answers[number] = answer.choices[0].message.content

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(ask, number)
        assert answers == {number: f"number {number}" for number in range(50)}
