"""Simulated model servers for commands that run in this process: in a thread, with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.testing.endpoint import SimulatedEndpoint
from orchestrator.testing.http_shell import HttpShell
from orchestrator.testing.lifecycle.store import ModelStore


@contextmanager
def served(store: ModelStore, face: str = "ollama", api_key: str = "") -> Iterator[str]:
    """A server of this face on a free port, while the block runs. Gives its address."""
    with answering(SimulatedEndpoint(kept=store, api_key=api_key), face) as address:
        yield address


@contextmanager
def answering(endpoint: SimulatedEndpoint, face: str) -> Iterator[str]:
    """The same for an endpoint of the caller's, who sees in its records what was sent."""
    loop = asyncio.new_event_loop()
    shell = HttpShell(endpoint, face)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(shell.start(), loop).result(10)
    try:
        yield shell.url
    finally:
        asyncio.run_coroutine_threadsafe(shell.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
