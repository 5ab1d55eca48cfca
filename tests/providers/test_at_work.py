"""Whether a server is at work, as it tells itself: by the slots of llama-server, by the counters of vLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from orchestrator.core.message import Message
from orchestrator.plugins.providers import compatible
from orchestrator.plugins.providers.compatible import CompatibleProvider
from orchestrator.ports.provider import ChatCall, Target, Watched
from orchestrator.testing.endpoint import simulated
from orchestrator.testing.http_shell import HttpShell, serving, serving_bytes
from orchestrator.testing.pace import Pace

pytestmark = pytest.mark.anyio

WITHIN = 0.4
MAKES = pytest.mark.parametrize(
    ("face", "opened"), [("llama-cpp", compatible.open_llama_cpp), ("vllm", compatible.open_vllm)]
)
Opened = Callable[[], CompatibleProvider]


def target(url: str) -> Target:
    return Target("any", f"{url}/v1", "m")


async def at_work(opened: Opened, url: str, within: float = WITHIN) -> bool | None:
    provider = opened()
    assert isinstance(provider, Watched)
    try:
        return await provider.at_work(target(url), within)
    finally:
        await provider.aclose()


@asynccontextmanager
async def asked(shell: HttpShell, opened: Opened, *, stream: bool = False) -> AsyncIterator[None]:
    """Another client has a request there meanwhile."""
    provider = opened()

    async def ask() -> None:
        call = ChatCall(target(shell.url), (Message("user", "word " * 200),), timeout=60.0)
        if stream:
            async for _ in provider.stream(call):
                pass
        else:
            await provider.chat(call)

    other = asyncio.create_task(ask())
    while not shell.endpoint.running:  # noqa: ASYNC110 - it is another task that gets there
        await asyncio.sleep(0)
    yield
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    await provider.aclose()


@MAKES
@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_writes_for_somebody_is_at_work(face: str, opened: Opened, stream: bool) -> None:
    """Also where that answer comes in one piece."""
    async with (
        serving(simulated(["m"], slots=1, pace=Pace(tps=50)), face) as shell,
        asked(shell, opened, stream=stream),
    ):
        assert await at_work(opened, shell.url) is True


@MAKES
async def test_a_server_that_has_a_request_and_writes_nothing_is_not(face: str, opened: Opened) -> None:
    """It hangs."""
    async with serving(simulated(["m"], slots=1, faults=["hang-before@*"]), face) as shell, asked(shell, opened):
        assert await at_work(opened, shell.url) is False


@MAKES
async def test_a_server_that_has_nothing_to_do_says_nothing_of_it(face: str, opened: Opened) -> None:
    """Whether it would work shows only when it is asked for something."""
    async with serving(simulated(["m"]), face) as shell:
        assert await at_work(opened, shell.url) is None


@MAKES
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n[1, {}] ",
    ],
    ids=["not supported", "unknown", "a page", "another shape"],
)
async def test_a_server_that_does_not_tell_says_nothing_of_it(face: str, opened: Opened, answer: bytes) -> None:
    """llama-server without its slots, vLLM without its statistics, and whatever stands before them."""
    async with serving_bytes([answer]) as url:
        assert await at_work(opened, url) is None, face


@MAKES
async def test_a_server_that_does_not_answer_is_not_at_work(face: str, opened: Opened) -> None:
    """Its process is stopped, or its door is closed."""
    async with serving(simulated(["m"]), face) as shell:
        url = shell.url
    assert await at_work(opened, url) is False

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closing.wait()
        writer.close()

    closing = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    assert await at_work(opened, f"http://{host}:{port}", within=0.1) is False
    closing.set()
    server.close()


async def test_a_llama_server_that_answers_late_has_worked_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers between two steps of its engine: a long one is the reading of a long prompt."""
    late = "orchestrator.plugins.providers.at_work.SLOW"
    monkeypatch.setattr(late, 0.0)  # each answer over this real socket is a late one: no second is waited for
    slots = json.dumps([{"id": 0, "is_processing": True, "id_task": 7}]).encode()
    told = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(slots), slots)
    async with serving_bytes([told]) as url:
        assert await at_work(compatible.open_llama_cpp, url) is True
