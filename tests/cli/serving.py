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
    with switched(endpoint, face) as switch:
        yield switch.url


class Switch:
    """A server that can be switched off and on again, at the same address."""

    def __init__(self, shell: HttpShell, loop: asyncio.AbstractEventLoop) -> None:
        self._shell = shell
        self._loop = loop

    @property
    def url(self) -> str:
        """Its address."""
        return self._shell.url

    def on(self) -> None:
        """Listen."""
        asyncio.run_coroutine_threadsafe(self._shell.start(), self._loop).result(10)

    def off(self) -> None:
        """Drop every client, and listen no more."""
        asyncio.run_coroutine_threadsafe(self._shell.stop(), self._loop).result(10)


@contextmanager
def switched(endpoint: SimulatedEndpoint, face: str) -> Iterator[Switch]:
    """The same, on at first."""
    loop = asyncio.new_event_loop()
    switch = Switch(HttpShell(endpoint, face), loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    switch.on()
    try:
        yield switch
    finally:
        switch.off()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
