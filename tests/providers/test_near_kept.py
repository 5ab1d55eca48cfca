"""Connections to servers nearby: which are kept, which are given up, and what becomes of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator.core.errors import BrokenReply, StaleConnection, Unreachable
from orchestrator.plugins.providers.line import connection as connections
from orchestrator.plugins.providers.line import near
from orchestrator.plugins.providers.line.answer import Errand
from orchestrator.plugins.providers.line.near import NearLine
from orchestrator.plugins.providers.line.place import address
from orchestrator.testing.http_shell import serving_bytes
from tests.providers.near import LENGTH, OK, asked, speaking

pytestmark = pytest.mark.anyio


async def test_a_kept_connection_carries_the_next_request(line: NearLine) -> None:
    """A hundred requests one after another need one connection; after ``Connection: close`` a new one is made."""
    made, closing = 0, b""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await reader.read(65536):
            writer.write(OK + closing + b"Content-Length: 0\r\n\r\n")

    async with speaking(speak) as url:
        for _ in range(100):
            await asked(url, line)
        assert made == 1
        closing = b"Connection: close\r\n"
        await asked(url, line)
        await asked(url, line)
        assert made == 2


async def test_no_connection_is_left_behind_by_an_answer_that_is_refused(line: NearLine) -> None:
    """A compressed answer closes its connection at once."""
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx")
        await reader.read()
        over.set()

    async with speaking(speak) as url:
        with pytest.raises(BrokenReply):
            await asked(url, line)
        async with asyncio.timeout(10):
            await over.wait()


async def test_what_is_under_way_when_the_line_is_closed_is_told_so(line: NearLine) -> None:
    """Half an answer is not taken for a whole one, and nothing comes back to life."""
    begun = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"\r\nhalf of it")
        begun.set()
        await reader.read()

    async with speaking(speak) as url:
        call = asyncio.create_task(asked(url, line))
        await begun.wait()
        await line.aclose()
        with pytest.raises(BrokenReply, match="closed from here"):
            await call


async def test_a_connection_that_is_made_while_the_line_closes_is_closed_too(
    line: NearLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be nobody's."""
    connect = near._connect

    async def slowly(*arguments: Any) -> None:
        await connect(*arguments)
        await line.aclose()

    monkeypatch.setattr(near, "_connect", slowly)
    async with serving_bytes([LENGTH]) as url:
        with pytest.raises(BrokenReply, match="closed from here"):
            await asked(url, line)
    await asyncio.sleep(0)
    assert not line._all and line._sweeper is None


async def test_an_answer_that_comes_before_the_request_is_sent_costs_the_connection(line: NearLine) -> None:
    """Otherwise the next request would wait behind the rest of the last one."""
    made = 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n" if made == 1 else LENGTH)
        await writer.drain()
        await asyncio.sleep(0.1)  # it reads nothing meanwhile

    async with speaking(speak) as url:
        assert (await asked(url, line, b"x" * 20_000_000)).status == 413
        assert (await asked(url, line)).body == b"hello"
    assert made == 2


@pytest.mark.parametrize("goodbye", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_kept_connections_that_were_given_up_cost_one_stale_answer(goodbye: bytes, line: NearLine) -> None:
    """The first that is found dead, or is told so, takes the others with it."""
    here, counted = asyncio.Event(), 0

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal counted
        first = counted < 3
        counted += 1
        await reader.readuntil(b"\r\n\r\n")
        if first and counted == 3:
            here.set()
        if first:
            await here.wait()
        writer.write(LENGTH)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(goodbye if first else LENGTH)

    async with speaking(speak) as url:
        await asyncio.gather(*(asked(url, line) for _ in range(3)))
        with pytest.raises(StaleConnection):
            await asked(url, line)
        assert [(await asked(url, line)).body for _ in range(2)] == [b"hello", b"hello"]
    assert counted == 4


async def test_a_server_that_dies_at_work_is_not_taken_for_one_that_was_away(
    line: NearLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection that closes long after the request was sent is a failure, which counts."""
    monkeypatch.setattr(connections, "STALE_WITHIN", 0.0)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(LENGTH)
        await reader.readuntil(b"\r\n\r\n")

    async with speaking(speak) as url:
        await asked(url, line)
        with pytest.raises(Unreachable) as caught:
            await asked(url, line)
    assert type(caught.value) is Unreachable


async def test_an_answer_can_be_closed_twice(line: NearLine) -> None:
    """Its connection is given back once."""
    async with serving_bytes([LENGTH, LENGTH]) as url:
        answer = await line.open("GET", Errand(address(url, "/"), 5.0), None)
        await answer.whole()
        answer.close()
        answer.close()
        assert sum(map(len, line._idle.values())) <= 1


async def test_the_sweeper_comes_when_the_oldest_connection_is_due(line: NearLine) -> None:
    """Not a whole round later: the server may have a limit, too."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(LENGTH)

    async with speaking(speak) as url:
        await asked(url, line)
        (kept,) = (each for idle in line._idle.values() for each in idle)
        line._sweep()
        assert line._sweeper is not None
        assert line._sweeper.when() == pytest.approx(kept.idle_since + near.KEEP_ALIVE)
