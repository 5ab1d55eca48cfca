"""Thoughts in the text of an answer are not the answer: not for a sign, a schema, a session, a tool call or the caller."""

from __future__ import annotations

from typing import cast

import pytest

from orchestrator.core.event import Event
from orchestrator.core.message import Message, Usage
from orchestrator.ports.provider import Capability, ChatCall, ChatReply, Provider, Support, Target, TokenProbability
from orchestrator.serve.thinking import AfterThoughts
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.script import Script
from tests.serve.engine.parts import FakeTool, Wanted, agent_spec, serving
from tests.serve.engine.test_doubt import asks, doubting, large, looks

pytestmark = pytest.mark.anyio

CALL = ChatCall(Target("fixed", "http://fixed.invalid", "m"), (Message("user", "a"),))
PRICE = {"type": "object", "properties": {"price": {"type": "number"}}, "required": ["price"]}


class Fixed:
    """A carrier that gives one reply."""

    kind = "fixed"

    def __init__(self, reply: ChatReply) -> None:
        self.reply = reply

    async def chat(self, call: ChatCall) -> ChatReply:
        del call
        return self.reply


async def test_an_abstention_after_a_thought_goes_up() -> None:
    """And one that is within the thought only is none."""
    server = simulated(["m"], Script(sequence=["<think>I do not know.</think>\n\nUNKNOWN", "<think>UNKNOWN</think>5"]))
    async with serving(doubting({"abstains": {}}), server, large()) as served:
        up, kept = await served.run("a"), await served.run("b")
    assert (up.agent, up.text) == ("large", "the large one")
    assert 'It had said: "UNKNOWN"' in served.servers[1].records[0].asked.messages[0]["content"]
    assert (kept.agent, kept.text) == ("small", "5")


async def test_answers_agree_whatever_was_thought() -> None:
    """Three samples, of which each thought something else."""
    server = simulated(["m"], Script(sequence=["<think>aa</think>5", "<think>bb b</think>5", "<think>cc</think>5."]))
    async with serving(doubting({"agreement": {}}), server, large()) as served:
        result = await served.run("a")
    assert (result.agent, result.text, looks(result)) == ("small", "5", [("agreement", "kept")])


async def test_an_answer_fits_its_schema_after_a_thought() -> None:
    """No repair is asked for."""
    server = simulated(["m"], Script(sequence=['<think>{"price": "aa"}</think>{"price":5}']))
    async with serving(Wanted([agent_spec("jp", output_schema=PRICE)]), server) as served:
        result = await served.run("a")
    assert (result.status, result.text, result.value, asks(served)) == ("completed", '{"price":5}', {"price": 5}, 1)


async def test_words_of_a_thought_are_not_weighed() -> None:
    """Of a server that leaves a thought in what it tells of tokens, in the text too or not: the answer's are weighed."""
    tokens = [("<th", -3.0), ("ink>", -3.0), ("no", -3.0), ("</think>", -3.0), ("\n", -3.0), ("5", -0.1), (".", -0.1)]
    for text in ("<think>no</think>\n5.", "5."):
        told = tuple(TokenProbability(*each) for each in tokens)
        carrier = Fixed(ChatReply(Message("assistant", text), "stop", Usage(1, 7, 1), logprobs=told))
        reply = await AfterThoughts(cast(Provider, carrier)).chat(CALL)
        assert (reply.message.content, [each.token for each in reply.logprobs]) == ("5.", ["5", "."])
        assert reply.usage == Usage(1, 7, 1)
        told = (*told[:4], TokenProbability("\n5", -0.2))
        carrier = Fixed(ChatReply(Message("assistant", text), "stop", Usage(1, 7, 1), logprobs=told))
        assert (await AfterThoughts(cast(Provider, carrier)).chat(CALL)).logprobs == told[4:]


async def test_an_answer_without_thoughts_is_passed_on_itself() -> None:
    """With its tokens, of which an empty one may be the first."""
    told = (TokenProbability("", -0.1), TokenProbability("5", -0.1))
    carrier = Fixed(ChatReply(Message("assistant", "5"), "stop", Usage(), logprobs=told))
    assert await AfterThoughts(cast(Provider, carrier)).chat(CALL) is carrier.reply


@pytest.mark.parametrize("streams", [True, False])
async def test_the_caller_and_the_session_get_the_answer(*, streams: bool) -> None:
    """In pieces too; and of an answer that speaks of the tag all of it."""
    said: list[str] = []

    def listen(event: Event) -> None:
        said.extend([str(event.fields["text"])] if event.kind == "run.delta" else [])

    about = "Models write <think> and </think> around thoughts."
    server = simulated(["m"], Script(sequence=["<think>a secret, and more of it</think>\n\nFive it is.", about]))
    async with serving(Wanted([agent_spec("orders")]), server) as served:
        first = await served.run("a", listen if streams else None, session="s")
        second = await served.run("b", listen if streams else None, session="s")
        sent = served.sent()
    assert (first.text, second.text) == ("Five it is.", about)
    assert ("assistant", "Five it is.") in sent
    assert "".join(said) == (first.text + about if streams else "")
    assert first.usage.completion_tokens > 5  # what was thought is counted


@pytest.mark.parametrize("streams", [True, False])
async def test_a_thought_that_is_cut_off_is_an_empty_answer(*, streams: bool) -> None:
    """Told as one is: there is no word of it."""
    async with serving(
        Wanted([agent_spec("orders")]), simulated(["m"], Script(default="<think>it may be that"))
    ) as served:
        result = await served.run("a", (lambda _: None) if streams else None)
    assert (result.status, result.text) == ("completed", "")
    assert any("answered with an empty text" in note for note in result.notes)


async def test_one_that_is_cut_off_goes_up_as_an_empty_one_does() -> None:
    """An answer without a word knows nothing."""
    server = simulated(["m"], Script(default="<think>it may be that"))
    async with serving(doubting({"abstains": {}}), server, large()) as served:
        result = await served.run("a")
    assert result.agent == "large"


@pytest.mark.parametrize("streams", [True, False])
async def test_of_a_broken_stream_no_thought_is_told(*, streams: bool) -> None:
    """The text so far is of the answer."""
    server = simulated(["m"], Script(default="<think>a secret </think>one two three"), faults=["drop-mid@*"])
    async with serving(Wanted([agent_spec("orders")]), server) as served:
        result = await served.run("a", (lambda _: None) if streams else None)
    assert result.status == "failed" and "secret" not in result.text and "think" not in result.text


async def test_a_call_that_is_only_thought_of_is_none() -> None:
    """And one that is written after a thought is made."""
    tool = FakeTool("stock", {"look": "9 left"})
    call = '<tool_call>{"name": "stock_look", "arguments": {}}</tool_call>'
    server = simulated(["m"], Script(sequence=[f"<think>{call}</think>no", f"<think>so</think>\n{call}", "it has 9"]))
    able = {Capability.TOOLS: Support.IGNORED, Capability.TOOL_TEXT: Support.YES}
    wanted = Wanted([agent_spec("orders", tools=["stock"])], [tool], capabilities=able)
    async with serving(wanted, server) as served:
        first = await served.run("a")
        assert (first.text, tool.calls) == ("no", [])
        second = await served.run("b")
    assert (second.text, len(tool.calls)) == ("it has 9", 1)
