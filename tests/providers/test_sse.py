"""Streams of events are read the same whichever way their bytes are cut."""

from __future__ import annotations

import collections
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import ModelError
from orchestrator.core.message import Message
from orchestrator.plugins.providers.reply import ReplyInPieces
from orchestrator.plugins.providers.sse import EventStream, LineTooLong
from orchestrator.ports.provider import ChatCall, Target

FOLDER = Path(__file__).parent / "streams"
STREAMS = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*.sse"))}
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
CALL = ChatCall(Target("x", "http://127.0.0.1/v1", "m"), (Message("user", "hi"),))


def read(slices: list[bytes]) -> dict[str, Any]:
    """All that a stream says, in a plain form."""
    events, pieces = EventStream(), ReplyInPieces(CALL)
    texts: list[str] = []
    try:
        texts.extend(pieces.take(events.feed(piece)) for piece in slices)
        texts.append(pieces.take(events.end()))
        reply = pieces.reply()
    except ModelError as error:
        return {"error": type(error).__name__, "partial": error.partial}
    assert "".join(texts) == reply.message.content
    return {
        "text": reply.message.content,
        "calls": [[call.name, call.arguments] for call in reply.message.tool_calls],
        "finish": reply.finish_reason,
        "tokens": [reply.usage.prompt_tokens, reply.usage.completion_tokens],
        "estimated": reply.usage.estimated,
        "logprobs": len(reply.logprobs),
    }


def sliced(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def test_there_are_at_least_forty_streams_and_each_is_expected() -> None:
    """No stream lies here without an expectation, and none is expected that is not here."""
    assert len(STREAMS) >= 40
    assert STREAMS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_says_what_it_says(name: str) -> None:
    """Each recorded stream gives its text, calls, reason and counts, or its error with the text before it."""
    assert read([STREAMS[name]]) == EXPECTED[name]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_byte_by_byte_says_the_same(name: str) -> None:
    """Cut after every byte, also within a letter and between CR and LF, nothing changes."""
    data = STREAMS[name]
    assert read([data[place : place + 1] for place in range(len(data))]) == EXPECTED[name]


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.integers(0, 20_000), max_size=30))
def test_any_cut_of_a_stream_says_the_same(name: str, cuts: list[int]) -> None:
    """Any slicing of the bytes, with empty slices too, gives what the whole gives."""
    assert read(sliced(STREAMS[name], cuts)) == EXPECTED[name]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=20))
def test_any_bytes_in_any_cut_give_the_same_payloads(data: bytes, cuts: list[int]) -> None:
    """Whatever the bytes are, how they are cut makes no difference to the payloads."""
    whole, parts = EventStream(), EventStream()
    expected = whole.feed(data) + whole.end()
    found = [payload for piece in sliced(data, cuts) for payload in parts.feed(piece)] + parts.end()
    assert found == expected


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1, max_size=20), max_size=8))
def test_what_is_written_as_events_is_read_back(texts: list[str]) -> None:
    """Each text that is sent as an event comes back, in order."""
    stream = EventStream()
    data = b"".join(b"data: " + text.encode() + b"\n\n" for text in texts)
    assert stream.feed(data) + stream.end() == [text.encode() for text in texts]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_line_without_end_is_refused(size: int) -> None:
    """A line beyond the limit ends the reading, however small its pieces are."""
    stream = EventStream(limit=1000)
    with pytest.raises(LineTooLong):
        collections.deque((stream.feed(b"x" * size) for _ in range(2000)), maxlen=0)


def chunk(**delta: Any) -> bytes:
    return json.dumps({"choices": [{"delta": delta}]}).encode()


END = json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]}).encode()


def test_a_character_that_is_cut_between_two_pieces_comes_whole() -> None:
    """Its first half waits for the second; arguments of a call are cut the same way."""
    pieces = ReplyInPieces(CALL)
    assert [pieces.take([chunk(content=text)]) for text in ("hi \ud83d", "\ude00 there")] == ["hi ", "😀 there"]
    for text in ('{"a": "\ud83d', '\ude00"}'):
        pieces.take([chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": text}}])])
    pieces.take([END])
    last = pieces.last()
    assert last.reply is not None
    assert (last.text, last.reply.message.content) == ("", "hi 😀 there")
    assert last.reply.message.tool_calls[0].arguments == '{"a": "😀"}'


@pytest.mark.parametrize(("texts", "told"), [(["a\ud83d"], ["a", "\ufffd"]), (["\ud83d", "b"], ["", "\ufffdb", ""])])
def test_half_a_character_whose_other_half_never_comes_is_told_at_the_end(texts: list[str], told: list[str]) -> None:
    """The pieces add up to the reply all the same."""
    pieces = ReplyInPieces(CALL)
    passed = [pieces.take([chunk(content=text)]) for text in texts]
    pieces.take([END])
    last = pieces.last()
    assert [*passed, last.text] == told
    assert last.reply is not None
    assert last.reply.message.content == "".join(told)
