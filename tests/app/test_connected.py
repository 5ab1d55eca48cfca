"""A deployment of the runtime, asked from async code: signs of life are no entries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.app import connected
from orchestrator.app.connected import RemoteRuns, session_to
from orchestrator.core.errors import RuntimeUnavailable
from orchestrator.core.event import Event
from orchestrator.core.request import Request

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
FAULT = (
    b'{"kind":"error","error":{"code":"ORC502","kind":"NoModel","message":"no model serves this agent","cure":""}}\n'
)


async def asked(path: Path, *lines: bytes, ends: bool = True) -> None:
    """One run on a runtime that answers with these lines."""
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines([HEAD, *lines])
        if not ends:
            await over.wait()
        writer.close()

    async with await asyncio.start_unix_server(speak, path), session_to(path) as http:
        try:
            await RemoteRuns("shop", http).run(Request("hello"))
        finally:
            over.set()


async def test_empty_lines_are_signs_of_life(tmp_path: Path) -> None:
    """They are passed over; what comes after them counts."""
    with pytest.raises(Exception, match="no model serves this agent"):
        await asked(tmp_path / "s", b"\n", b"\n", FAULT)


async def test_a_runtime_that_falls_silent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without an end."""
    monkeypatch.setattr(connected, "SILENT_SECONDS", 0.2)
    with pytest.raises(RuntimeUnavailable, match="does not answer"):
        await asked(tmp_path / "s", b"\n", ends=False)


async def test_a_listener_that_fails_ends_the_run_at_once(tmp_path: Path) -> None:
    """Its connection is closed when the call ends, and not when the collector comes by: the runtime cancels the run then."""
    left = asyncio.Event()
    event = b'{"kind":"run.delta","at":1.0,"deployment":"shop","revision":1,"run":"run_1","fields":{"text":"hi"}}\n'

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines([HEAD, event])
        await reader.read()  # the body, until the client goes away
        while not reader.at_eof():
            await reader.read()
        left.set()
        writer.close()

    def fails(_: Event) -> None:
        raise LookupError("of the listener")

    path = tmp_path / "s"
    async with await asyncio.start_unix_server(speak, path), session_to(path) as http:
        with pytest.raises(LookupError, match="of the listener"):
            await RemoteRuns("shop", http).run(Request("hello"), fails)
        await asyncio.wait_for(left.wait(), 5)
