"""Whole answers are read with the kindness that real servers need, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.core.errors import BrokenReply, ContextTooLong, ServerFailed
from orchestrator.core.message import Message, ToolCall, Usage
from orchestrator.plugins.providers.reply import ReplyInPieces, whole_reply
from orchestrator.ports.provider import ChatCall, ChatReply, Target, TokenProbability

CALL = ChatCall(Target("x", "http://127.0.0.1/v1", "m"), (Message("user", "hello"),))


def answer(message: dict[str, Any], finish: Any = "stop", choice: dict[str, Any] | None = None, **top: Any) -> bytes:
    entry = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **(choice or {})}
    return json.dumps({"model": "m1", "choices": [entry], **top}).encode()


def calls(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"content": None, "tool_calls": list(entries)}


def read(body: bytes) -> ChatReply:
    return whole_reply(body, CALL)


def test_a_plain_answer() -> None:
    """Text, model, reason and counts."""
    reply = read(answer({"content": "hi"}, usage={"prompt_tokens": 3, "completion_tokens": 1}))
    assert reply == ChatReply(Message("assistant", "hi"), "stop", Usage(3, 1, 1), "m1")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": "3"}, 7])
def test_missing_counts_are_estimated_and_say_so(usage: Any) -> None:
    """A server that tells no counts gets ours, marked as an estimate."""
    reply = read(answer({"content": "four words of text"}, usage=usage))
    assert reply.usage == Usage(9, 5, 1, estimated=True)


def test_a_call_is_read() -> None:
    """Id, name and arguments as the model wrote them."""
    entry = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Oslo"}'}}
    reply = read(answer(calls(entry), "tool_calls"))
    assert reply.message == Message("assistant", "", (ToolCall("c1", "weather", '{"place": "Oslo"}'),))


@pytest.mark.parametrize(
    ("told", "reason"),
    [("eos_token", "stop"), ("STOP", "stop"), ("max_tokens", "length"), ("content_filter", "content_filter")],
)
def test_an_ordinary_end_is_told_in_the_protocol_s_word(told: str, reason: str) -> None:
    """Whole and in pieces."""
    assert read(answer({"content": "hi"}, told)).finish_reason == reason
    pieces = ReplyInPieces(CALL)
    pieces.add({"choices": [{"delta": {"content": "hi"}, "finish_reason": told}]})
    assert pieces.reply().finish_reason == reason


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("abort", "the server gave the answer up before it was done (finish_reason abort)"),
        ("repetition", "the model repeated itself without end, and the server stopped it (finish_reason repetition)"),
        ("insufficient_system_resource", "the server ended the answer in no ordinary way (finish_reason insufficient"),
    ],
)
def test_an_end_that_is_no_ordinary_one_is_no_answer(told: str, said: str) -> None:
    """Whole and in pieces; the text that had come is kept with the error."""
    pieces = ReplyInPieces(CALL)
    pieces.add({"choices": [{"delta": {"content": "hi"}, "finish_reason": told}]})
    ways: tuple[Callable[[], ChatReply], ...] = (lambda: read(answer({"content": "hi"}, told)), pieces.reply)
    for act in ways:
        with pytest.raises(BrokenReply) as raised:
            act()
        assert raised.value.message.startswith(said) and raised.value.partial == "hi"


@pytest.mark.parametrize("finish", ["stop", None, "function_call", "tool_calls"])
def test_calls_end_with_tool_calls(finish: Any) -> None:
    """Whatever the server calls it, an answer with calls ends with tool_calls."""
    entry = {"function": {"name": "clock", "arguments": {"a": 1}}}
    reply = read(answer(calls(entry), finish))
    assert reply.finish_reason == "tool_calls"
    assert reply.message.tool_calls == (ToolCall("call_0", "clock", '{"a": 1}'),)


def test_a_call_that_was_cut_still_says_length() -> None:
    """Arguments that end in the middle keep the reason, so that nobody takes them for whole."""
    entry = {"id": "c", "function": {"name": "clock", "arguments": '{"pl'}}
    assert read(answer(calls(entry), "length")).finish_reason == "length"


def test_log_probabilities() -> None:
    """Each token with its best alternatives, also where a token is no letter."""
    top = [{"token": "a", "logprob": -0.1, "bytes": None}, {"token": "\ufffd", "logprob": -9999.0}]
    told = {
        "logprobs": {"content": [{"token": "a", "logprob": -0.1, "top_logprobs": top}, {"token": "b", "logprob": -1}]}
    }
    reply = read(answer({"content": "ab"}, choice=told))
    assert reply.logprobs == (
        TokenProbability("a", -0.1, (("a", -0.1), ("\ufffd", -9999.0))),
        TokenProbability("b", -1.0),
    )


@pytest.mark.parametrize(
    "told", [{"content": [{}]}, {"content": [{"token": "a", "logprob": "x"}]}, {"content": 7}, {"content": [None]}]
)
def test_log_probabilities_that_cannot_be_read_are_none(told: Any) -> None:
    """The answer is there to be read, and counts. In pieces those that can be read do not count either: without the rest they
    would make the answer surer than it is."""
    reply = read(answer({"content": "no"}, choice={"logprobs": told}))
    assert (reply.message.content, reply.logprobs) == ("no", ())
    pieces = ReplyInPieces(CALL)
    pieces.add({"choices": [{"delta": {"content": "n"}, "logprobs": {"content": [{"token": "n", "logprob": -1}]}}]})
    pieces.add({"choices": [{"delta": {"content": "o"}, "logprobs": told, "finish_reason": "stop"}]})
    assert (pieces.reply().message.content, pieces.reply().logprobs) == ("no", ())


def test_raw_control_characters_are_text() -> None:
    """Models write raw line breaks and form feeds into strings; they are read, not refused."""
    body = b'{"choices":[{"message":{"content":"a\x0c\nb"},"finish_reason":"stop"}]}'
    assert read(body).message.content == "a\x0c\nb"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":["text"]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"choices":[{"message":{"content":"a","tool_calls":[{"id":"x"}]}}]}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b'{"choices":[{"message":{"content":"ab',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_broken(body: bytes) -> None:
    """Anything that is not of the protocol ends in BrokenReply, never in a crash."""
    with pytest.raises(BrokenReply):
        read(body)


def test_an_error_under_status_200_is_an_error() -> None:
    """An error object instead of choices counts as what it says."""
    with pytest.raises(ServerFailed, match="out of memory"):
        read(b'{"error":{"message":"out of memory"}}')
    with pytest.raises(ContextTooLong):
        read(b'{"error":"exceeds the available context size"}')


HALF = "half \ud83d of it"
MENDED = "half \ufffd of it"


def test_half_a_character_is_made_whole_wherever_a_server_writes_it() -> None:
    """A text that cannot be encoded would fail in the store or in the answer to a client, long after it was read."""
    entry = {"id": HALF, "function": {"name": HALF, "arguments": HALF}}
    told = {
        "logprobs": {"content": [{"token": HALF, "logprob": -0.1, "top_logprobs": [{"token": HALF, "logprob": -1}]}]}
    }
    reply = read(answer({"content": HALF, "tool_calls": [entry]}, "stop", told, model=HALF))
    assert reply.message == Message("assistant", MENDED, (ToolCall(MENDED, MENDED, MENDED),))
    assert reply.model == MENDED
    with pytest.raises(BrokenReply, match=MENDED):
        read(answer({"content": "hi"}, HALF))
    assert reply.logprobs == (TokenProbability(MENDED, -0.1, ((MENDED, -1.0),)),)
    assert read(answer({"content": "\ud83d\ude00"})).message.content == "😀"


def test_half_a_character_in_an_error_is_made_whole() -> None:
    """The message of a fault is shown and stored as an answer is."""
    with pytest.raises(ServerFailed, match=MENDED):
        read(json.dumps({"error": {"message": HALF}}).encode())


def test_pieces_that_come_under_the_name_of_a_whole_message_are_read() -> None:
    """In place of ``delta``. After real pieces a message is all of them once more, and is not added."""
    pieces = ReplyInPieces(CALL)
    told = [pieces.add({"choices": [{"message": {"role": "assistant", "content": word}}]}) for word in ("he", "llo")]
    assert (told, pieces.text) == (["he", "llo"], "hello")
    pieces = ReplyInPieces(CALL)
    pieces.add({"choices": [{"delta": {"content": "hello"}}]})
    assert pieces.add({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}) == ""
    assert pieces.text == "hello"
