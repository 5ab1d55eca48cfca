"""A choice without writing, by ``/v1/systemone``: what it sends, what it reads, and servers that have no such path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from orchestrator.core.errors import BrokenReply, RateLimited
from orchestrator.core.message import Message
from orchestrator.plugins.providers.compatible import open_llama_cpp, open_openai_compatible, open_vllm
from orchestrator.plugins.providers.decisions import decided
from orchestrator.plugins.strategies.answer import confidence_of
from orchestrator.ports.provider import ChatCall, Choice, Target
from tests.providers.near import speaking

pytestmark = pytest.mark.anyio
CHOICE = Choice("Which one?", {"request": "é"}, {"orders": "Orders.", "none": "None of these fits."}, "agent")
CHAT = {"choices": [{"message": {"content": '{"agent": "none"}'}, "finish_reason": "stop"}]}
VLLM = {
    "id": "x",
    "object": "structured_decision",
    "model": "m",
    "answers": {
        "choice": {
            "type": "choice",
            "choice": "orders",
            "probabilities": {"orders": 0.75, "none": 0.25},
            "confidence": 0.5,
        }
    },
    "usage": {"input_tokens": 40, "output_tokens": 1},
    "diagnostics": {"choice": {"label_mass": 0.66, "argmax_is_label": True}},
}
Asked = list[tuple[str, dict[str, Any]]]


@asynccontextmanager
async def server(answer: Callable[[str], tuple[int, Any]]) -> AsyncIterator[tuple[str, Asked]]:
    """A server that says what ``answer`` gives for a path, and what it was asked."""
    asked: Asked = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(
            next(line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length"))
        )
        path = head.split()[1]
        asked.append((path, json.loads(await reader.readexactly(length))))
        status, value = answer(path)
        body = json.dumps(value).encode()
        writer.write(b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()

    async with speaking(speak) as url:
        yield url, asked


def call(url: str, kind: str = "vllm") -> ChatCall:
    return ChatCall(Target(kind, f"{url}/v1", "m"), (Message("user", "é"),), choice=CHOICE)


async def test_a_server_that_chooses_is_asked_once_and_nothing_is_written() -> None:
    """The reply is what a written one would be; its confidence is the server's own."""
    async with server(lambda path: (200, VLLM)) as (url, asked):
        provider = open_vllm()
        reply = await provider.chat(call(url))
        await provider.aclose()
    ((path, body),) = asked
    assert path == "/v1/systemone"
    assert body == {
        "model": "m",
        "state": {"request": "é"},
        "questions": {
            "choice": {"type": "choice", "instructions": "Which one?", "criteria": dict(CHOICE.criteria)},
        },
    }
    assert (reply.message.content, reply.kind, reply.model) == ('{"agent": "orders"}', "systemone", "m")
    assert confidence_of(reply) == pytest.approx(0.5)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.estimated) == (40, 1, False)


@pytest.mark.parametrize("status", [400, 404, 405, 422, 500, 501])
async def test_one_that_cannot_is_asked_in_words_and_not_again_by_choice(status: int) -> None:
    async with server(lambda path: (status, {"error": "no"}) if "systemone" in path else (200, CHAT)) as (url, asked):
        provider = open_openai_compatible()
        replies = [await provider.chat(call(url, "openai-compatible")) for _ in range(2)]
        await provider.aclose()
    assert [reply.message.content for reply in replies] == ['{"agent": "none"}'] * 2
    assert [path for path, _ in asked] == ["/v1/systemone", "/v1/chat/completions", "/v1/chat/completions"]


async def test_a_busy_one_is_busy_and_is_asked_again() -> None:
    """That says nothing of what it can do."""
    async with server(lambda path: (429, {"error": {"message": "busy"}})) as (url, asked):
        provider = open_vllm()
        for _ in range(2):
            with pytest.raises(RateLimited):
                await provider.chat(call(url))
        await provider.aclose()
    assert [path for path, _ in asked] == ["/v1/systemone"] * 2


async def test_a_make_that_has_no_such_path_is_not_asked_for_it() -> None:
    async with server(lambda path: (200, CHAT)) as (url, asked):
        provider = open_llama_cpp()
        await provider.chat(call(url, "llama-cpp"))
        await provider.aclose()
    assert [path for path, _ in asked] == ["/v1/chat/completions"]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"answers": {}},
        {"answers": {"choice": {"choice": "orders"}}},
        {"answers": {"choice": {"choice": "admin", "confidence": 0.9}}},
        {"answers": {"choice": {"choice": "orders", "confidence": 1.5}}},
        {"answers": {"choice": {"choice": "orders", "confidence": float("nan")}}},
        {"answers": {"choice": {"choice": ["orders"], "confidence": 0.9}}},
        {"answers": {"choice": {"choice": "orders", "confidence": "sure"}}},
        ["orders"],
    ],
)
def test_what_is_no_choice_of_the_names_is_refused(answer: Any) -> None:
    """A name that was not offered gains nothing."""
    with pytest.raises(BrokenReply):
        decided(json.dumps(answer).encode(), CHOICE)


def test_a_choice_without_counts_is_estimated_and_one_without_any_mass_has_no_confidence_left() -> None:
    """As random weights give it."""
    reply = decided(b'{"answers": {"choice": {"choice": "none", "confidence": 0}}}', CHOICE)
    assert (confidence_of(reply), reply.usage.estimated) == (0.0, True)
