"""A deployment of the runtime, asked from async code: signs of life are no entries."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from orchestrator.app import connected
from orchestrator.app.connected import RemoteRuns, session_to
from orchestrator.core.errors import RuntimeUnavailable
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
